// Prefetch bounds what is unacknowledged; what is acknowledged is gone; the rest comes back.
'use strict'

const assert = require('node:assert/strict')
const { once, EventEmitter } = require('node:events')
const { setTimeout: pause } = require('node:timers/promises')
const { amqp, durableQueue, messageCount, withChannel } = require('../client')

module.exports = async (url) => {
  const connection = await amqp.connect(url)
  const channel = await connection.createConfirmChannel()
  const queue = await durableQueue(channel, 'ack', 30)
  await channel.prefetch(10)
  const messages = []
  const arrivals = new EventEmitter()
  await channel.consume(queue, (message) => {
    messages.push(message)
    arrivals.emit('message')
  })
  const until = async (count) => {
    while (messages.length < count) await once(arrivals, 'message')
    await pause(200)
    assert.equal(messages.length, count)
  }
  await until(10)
  channel.ack(messages[4], true)
  channel.ack(messages[6])
  await until(16)
  await connection.close()
  await withChannel(url, async (again) => {
    assert.equal(await messageCount(again, queue), 24)
    const first = await again.get(queue, { noAck: true })
    assert.equal(first.content.toString(), '5')
    assert.equal(first.fields.redelivered, true)
    await again.deleteQueue(queue)
  })
}
