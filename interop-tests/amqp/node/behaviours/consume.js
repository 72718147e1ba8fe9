// A consumer gets everything in order with what the publisher said about it; a cancelled one gets nothing.
'use strict'

const assert = require('node:assert/strict')
const { durableQueue, messageCount, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const queue = await durableQueue(channel, 'consume', 500)
    const headers = { n: 1, s: 'text', deep: { list: [true, null, 2 ** 40] } }
    channel.sendToQueue(queue, Buffer.from('last'), { headers, priority: 3, correlationId: 'c', type: 't' })
    const bodies = []
    const consumerTag = 'consume' // a name of ours: deliveries may come before consume's answer is looked at
    await new Promise((resolve) => {
      channel
        .consume(
          queue,
          (message) => {
            bodies.push(message.content.toString())
            if (bodies.length <= 500) return
            assert.deepEqual({ ...message.properties.headers }, headers)
            assert.equal(message.properties.priority, 3)
            assert.equal(message.properties.correlationId, 'c')
            assert.equal(message.fields.redelivered, false)
            resolve()
          },
          { noAck: true, consumerTag }
        )
    })
    assert.deepEqual(bodies, [...Array(500).keys()].map(String).concat('last'))
    await channel.cancel(consumerTag)
    channel.sendToQueue(queue, Buffer.from('kept'))
    await channel.waitForConfirms()
    assert.equal(await messageCount(channel, queue), 1)
    await channel.deleteQueue(queue)
  })
