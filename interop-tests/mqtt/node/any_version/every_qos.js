// A thousand messages of each QoS: all there, once, in order.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  for (const qos of [0, 1, 2]) {
    const topic = fresh(`qos${qos}`)
    const subscriber = await broker.connect()
    assert.deepEqual(await subscriber.subscribe(topic, qos), [qos])
    const publisher = await broker.connect()
    const payloads = [...Array(1000).keys()].map((number) => `${number} ${'x'.repeat(number % 50)}`)
    await publisher.publishAll(topic, payloads, qos)
    const got = await subscriber.take(payloads.length)
    assert.deepEqual(got.map((message) => message.payload), payloads)
    assert(got.every((message) => message.topic === topic && message.qos === qos && !message.retain))
    await publisher.publish(topic, 'end', qos)
    assert.deepEqual(await subscriber.until('end'), [])
    await publisher.disconnect()
    await subscriber.disconnect()
  }
}
