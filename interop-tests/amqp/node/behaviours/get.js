// Messages are fetched one by one, with a count of those that are left.
'use strict'

const assert = require('node:assert/strict')
const { durableQueue, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const queue = await durableQueue(channel, 'get', 2)
    const first = await channel.get(queue)
    assert.deepEqual([first.content.toString(), first.fields.messageCount, first.fields.routingKey], ['0', 1, queue])
    channel.ack(first)
    const second = await channel.get(queue, { noAck: true })
    assert.deepEqual([second.content.toString(), second.fields.messageCount], ['1', 0])
    assert.equal(await channel.get(queue), false)
    await channel.deleteQueue(queue)
  })
