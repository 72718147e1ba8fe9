// 1,000 durable queues on one channel, each with its own message.
'use strict'

const assert = require('node:assert/strict')
const { fresh, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const prefix = fresh('many')
    const queues = [...Array(1000).keys()].map((number) => `${prefix}.${number}`)
    await Promise.all(queues.map((queue) => channel.assertQueue(queue, { durable: true })))
    for (const queue of queues) channel.sendToQueue(queue, Buffer.from(queue), { persistent: true })
    await channel.waitForConfirms()
    for (const queue of queues) {
      assert.equal((await channel.get(queue, { noAck: true })).content.toString(), queue)
    }
    await Promise.all(queues.map((queue) => channel.deleteQueue(queue)))
  })
