// A connection that only its heartbeats keep alive is kept alive.
'use strict'

const { setTimeout: pause } = require('node:timers/promises')
const { amqp, durableQueue } = require('../client')

module.exports = async (url) => {
  const connection = await amqp.connect(`${url}?heartbeat=1`)
  await pause(4000)
  const channel = await connection.createConfirmChannel()
  await channel.deleteQueue(await durableQueue(channel, 'heartbeat', 1))
  await connection.close()
}
