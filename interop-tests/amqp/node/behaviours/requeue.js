// What is given back keeps its place and is flagged as redelivered.
'use strict'

const assert = require('node:assert/strict')
const { durableQueue, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const queue = await durableQueue(channel, 'requeue', 4)
    const first = await channel.get(queue)
    const second = await channel.get(queue)
    assert.equal(first.fields.redelivered, false)
    channel.reject(second, true)
    channel.nack(first, false, true)
    const got = []
    for (let number = 0; number < 4; number++) {
      const message = await channel.get(queue, { noAck: true })
      got.push([message.content.toString(), message.fields.redelivered])
    }
    assert.deepEqual(got, [['0', true], ['1', true], ['2', false], ['3', false]])
    await channel.deleteQueue(queue)
  })
