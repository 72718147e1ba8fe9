// After the broker was killed and started: what a session is owed, and what is retained.
'use strict'

const assert = require('node:assert/strict')
const { fresh, restartBroker } = require('../client')

module.exports = async (broker) => {
  const [topic, clientId] = [fresh('restart'), fresh('session')]
  let device = await broker.resume(clientId)
  await device.subscribe(`${topic}/+`, 1)
  await device.disconnect()
  let publisher = await broker.connect()
  const numbers = [...Array(20).keys()].map(String)
  for (const number of numbers) await publisher.publish(`${topic}/x`, number, 2)
  await publisher.publish(topic, 'kept', 1, { retain: true })
  await restartBroker()
  await publisher.ended
  device = await broker.resume(clientId)
  if (broker.level > 3) assert(device.connack.sessionPresent)
  assert.deepEqual((await device.take(20)).map((message) => message.payload), numbers)
  await device.subscribe(topic, 1)
  const { payload, retain } = await device.next()
  assert.deepEqual([payload, retain], ['kept', true])
  publisher = await broker.connect()
  await publisher.publish(topic, '', 1, { retain: true })
  await publisher.publish(`${topic}/x`, 'end')
  assert.deepEqual((await device.until('end')).map((message) => message.payload), [''])
  await device.disconnect()
  await broker.forget(clientId)
}
