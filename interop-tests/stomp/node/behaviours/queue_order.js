// Five hundred messages with any bytes: all there, once, in order; queues outlive their consumers.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const queue = `/queue/${fresh('order')}`
  const [producer, consumer] = [await broker.connect(), await broker.connect()]
  const sent = [...Array(500).keys()].map((number) => Buffer.from(`${number}\0\n\r${'\xff'.repeat(number % 50)}`, 'latin1'))
  for (const body of sent.slice(0, 250)) producer.send(queue, body)
  await consumer.subscribe(queue)
  for (const body of sent.slice(250)) producer.send(queue, body)
  for (const body of sent) assert.deepEqual((await consumer.next()).body, body)
  assert.deepEqual(await consumer.until(queue), [])
  await consumer.disconnect()
  await producer.sendSurely(queue, 'kept')
  const heir = await broker.connect()
  await heir.subscribe(queue)
  assert.deepEqual(await heir.take(1), ['kept'])
  await heir.disconnect()
}
