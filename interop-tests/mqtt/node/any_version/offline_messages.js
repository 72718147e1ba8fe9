// What is published while a session has no connection arrives when it has one again.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const [topic, clientId] = [fresh('offline'), fresh('session')]
  let device = await broker.resume(clientId)
  await device.subscribe(topic, 2)
  await device.hangUp()
  const publisher = await broker.connect()
  const numbers = [...Array(200).keys()].map(String)
  for (const qos of [1, 2]) await publisher.publishAll(topic, numbers, qos)
  device = await broker.resume(clientId)
  if (broker.level > 3) assert(device.connack.sessionPresent)
  const got = await device.take(400)
  for (const qos of [1, 2]) {
    assert.deepEqual(got.filter((message) => message.qos === qos).map((message) => message.payload), numbers)
  }
  await publisher.publish(topic, 'end', 2)
  assert.deepEqual(await device.until('end'), [])
  await device.disconnect()
  await broker.forget(clientId)
}
