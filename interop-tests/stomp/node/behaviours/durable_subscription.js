// A durable subscription is owed what came while nobody had it, also over a restart.
'use strict'

const assert = require('node:assert/strict')
const { fresh, restartBroker } = require('../client')

module.exports = async (broker) => {
  const [topic, id] = [`/topic/${fresh('durable')}`, fresh('watch')]
  const durable = { id, durable: 'true', 'auto-delete': 'false' }
  let watcher = await broker.connect()
  await watcher.subscribe(topic, durable)
  await watcher.disconnect()
  let publisher = await broker.connect()
  const numbers = [...Array(5).keys()].map(String)
  for (const number of numbers) await publisher.sendSurely(topic, number, { persistent: 'true' })
  await publisher.disconnect()
  await restartBroker()
  publisher = await broker.connect()
  await publisher.sendSurely(topic, 'after', { persistent: 'true' })
  watcher = await broker.connect()
  const subscription = await watcher.subscribe(topic, durable)
  assert.deepEqual(await watcher.take(6), [...numbers, 'after'])
  await subscription.unsubscribe(durable) // and it is gone
  await publisher.sendSurely(topic, 'for nobody', { persistent: 'true' })
  const again = await watcher.subscribe(topic, durable)
  assert.deepEqual(await watcher.until(topic), [])
  await again.unsubscribe(durable)
  await watcher.disconnect()
}
