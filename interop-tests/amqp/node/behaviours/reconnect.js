// After a restart of the broker a client connects again and finds what was confirmed.
'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { amqp, drain, durableQueue, restartBroker, withChannel } = require('../client')

module.exports = async (url) => {
  const connection = await amqp.connect(url)
  connection.on('error', () => {}) // CONNECTION_FORCED, or a socket that is gone
  const closed = once(connection, 'close')
  const queue = await durableQueue(await connection.createConfirmChannel(), 'reconnect', 20)
  await restartBroker()
  await closed
  await withChannel(url, async (channel) => {
    assert.deepEqual(await drain(channel, queue), [...Array(20).keys()].map(String))
    await channel.deleteQueue(queue)
  })
}
