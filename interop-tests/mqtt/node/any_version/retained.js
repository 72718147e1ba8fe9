// The last retained message comes at subscribing, flagged; an empty one deletes it.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('retained')
  const publisher = await broker.connect()
  for (const payload of ['old', 'new']) await publisher.publish(`${topic}/a`, payload, 1, { retain: true })
  await publisher.publish(`${topic}/b`, 'b', 0, { retain: true })
  const subscriber = await broker.connect()
  await subscriber.subscribe(`${topic}/+`, 2)
  const got = (await subscriber.take(2)).map(({ payload, qos, retain }) => [payload, qos, retain])
  assert.deepEqual(got.sort(), [['b', 0, true], ['new', 1, true]])
  await publisher.publish(`${topic}/a`, '', 1, { retain: true })
  await publisher.publish(`${topic}/b`, '', 1, { retain: true })
  assert.deepEqual((await subscriber.take(2)).map(({ payload, retain }) => [payload, retain]), [['', false], ['', false]])
  const late = await broker.connect()
  await late.subscribe(`${topic}/#`, 1)
  await publisher.publish(`${topic}/c`, 'end')
  assert.deepEqual(await late.until('end'), [])
}
