// Everybody who subscribed gets a copy, by name or by pattern.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const stem = fresh('topic')
  const publisher = await broker.connect()
  const expected = { a: ['1', '4'], '*': ['1', '3', '4'], '#': ['1', '2', '3', '4'], 'a.*': ['2'] }
  const watchers = {}
  for (const pattern in expected) {
    watchers[pattern] = await broker.connect()
    await watchers[pattern].subscribe(`/topic/${stem}.${pattern}`)
  }
  for (const [key, body] of [['a', '1'], ['a.b', '2'], ['c', '3'], ['a', '4']]) publisher.send(`/topic/${stem}.${key}`, body)
  for (const pattern in expected) {
    assert.deepEqual(await watchers[pattern].take(expected[pattern].length), expected[pattern], pattern)
  }
  const second = await watchers.a.subscribe(`/topic/${stem}.b`)
  publisher.send(`/topic/${stem}.b`, '5')
  assert.deepEqual(await watchers.a.take(1), ['5'])
  await second.unsubscribe()
  await publisher.sendSurely(`/topic/${stem}.b`, '6')
  assert.deepEqual(await watchers.a.until(`/topic/${stem}.a`), [])
  for (const device of [publisher, ...Object.values(watchers)]) await device.disconnect()
}
