// A retained message tells what is left of its time, and goes when it is over.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('expiry')
  const publisher = await broker.connect()
  for (const [name, seconds] of [['long', 100], ['short', 1]]) {
    const properties = { messageExpiryInterval: seconds }
    await publisher.publish(`${topic}/${name}`, name, 1, { retain: true, properties })
  }
  await new Promise((resolve) => setTimeout(resolve, 2200))
  const late = await broker.connect()
  await late.subscribe(`${topic}/+`, 1)
  await publisher.publish(`${topic}/end`, 'end')
  const got = await late.until('end')
  assert.deepEqual(got.map((message) => message.payload), ['long'])
  const left = got[0].properties.messageExpiryInterval
  assert(left >= 90 && left <= 98, String(left))
  for (const name of ['long', 'short']) await publisher.publish(`${topic}/${name}`, '', 1, { retain: true })
}
