// Bindings lead where they say, until they are taken away.
'use strict'

const assert = require('node:assert/strict')
const { drain, fresh, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const [direct, fanout, topic] = ['direct', 'fanout', 'topic'].map(fresh)
    await channel.assertExchange(direct, 'direct')
    await channel.assertExchange(fanout, 'fanout')
    await channel.assertExchange(topic, 'topic')
    await channel.bindQueue(queue, direct, 'red')
    await channel.bindQueue(queue, fanout, '')
    await channel.bindQueue(queue, topic, 'a.*.c')
    await channel.bindQueue(queue, topic, 'z.#')
    const send = async (exchange, key) => {
      channel.publish(exchange, key, Buffer.from(key))
      await channel.waitForConfirms()
    }
    for (const key of ['red', 'blue']) await send(direct, key)
    await send(fanout, 'any')
    for (const key of ['a.b.c', 'a.c', 'z', 'z.y.x']) await send(topic, key)
    assert.deepEqual(await drain(channel, queue), ['red', 'any', 'a.b.c', 'z', 'z.y.x'])
    await channel.unbindQueue(queue, direct, 'red')
    await send(direct, 'red')
    assert.deepEqual(await drain(channel, queue), [])
    for (const exchange of [direct, fanout, topic]) await channel.deleteExchange(exchange)
  })
