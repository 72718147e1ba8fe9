// No Local, Retain As Published, Retain Handling and subscription identifiers.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('options')
  const [device, other] = [await broker.connect(), await broker.connect()]
  await other.publish(topic, 'kept', 1, { retain: true })
  await device.subscribe(topic, 1, { nl: true, rap: true, rh: 2, properties: { subscriptionIdentifier: 42 } })
  await device.publish(topic, 'mine')
  await other.publish(topic, 'flagged', 1, { retain: true })
  const { payload, retain, properties } = await device.next()
  assert.deepEqual([payload, retain, properties.subscriptionIdentifier], ['flagged', true, 42])
  await other.publish(topic, '', 1, { retain: true })
}
