// Queues and exchanges are declared, found again, and refused when they differ.
'use strict'

const assert = require('node:assert/strict')
const { amqp, durableQueue, fresh, refused, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel, connection) => {
    const queue = await durableQueue(channel, 'declare')
    assert.equal((await channel.assertQueue(queue, { durable: true })).messageCount, 0)
    const mine = (await channel.assertQueue('', { exclusive: true })).queue
    assert.match(mine, /^amq\.gen-/)
    const exchange = fresh('declare')
    for (const type of ['direct', 'fanout', 'topic']) {
      await channel.assertExchange(`${exchange}.${type}`, type)
      await channel.checkExchange(`${exchange}.${type}`)
    }
    await refused(connection, 406, (other) => other.assertQueue(queue, { durable: false }))
    await refused(connection, 406, (other) => other.assertExchange(`${exchange}.direct`, 'fanout'))
    await refused(connection, 404, (other) => other.checkQueue(fresh('nowhere')))
    const stranger = await amqp.connect(url)
    await refused(stranger, 405, (other) => other.checkQueue(mine))
    await stranger.close()
    for (const type of ['direct', 'fanout', 'topic']) await channel.deleteExchange(`${exchange}.${type}`)
    await channel.deleteQueue(queue)
  })
