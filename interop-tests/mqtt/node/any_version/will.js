// A will is sent when the connection is lost, and not after DISCONNECT.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('will')
  const watcher = await broker.connect()
  await watcher.subscribe(`${topic}/#`, 2)
  const will = (payload, retain) => ({ will: { topic, payload: Buffer.from(payload), qos: 2, retain } })
  await (await broker.connect(will('never', false))).disconnect()
  await (await broker.connect(will('lost', true))).hangUp()
  const { payload, qos, retain } = await watcher.next()
  assert.deepEqual([payload, qos, retain], ['lost', 2, false])
  const late = await broker.connect()
  await late.subscribe(topic, 1)
  const kept = await late.next()
  assert.deepEqual([kept.payload, kept.qos, kept.retain], ['lost', 1, true])
  await late.publish(topic, '', 1, { retain: true })
}
