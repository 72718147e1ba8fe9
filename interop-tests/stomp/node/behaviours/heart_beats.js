// Agreed heart-beats keep a silent connection.
'use strict'

const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { fresh } = require('../client')

const BEAT_MS = 500

module.exports = async (broker) => {
  if (broker.version === '1.0') return // has none
  const topic = `/topic/${fresh('beats')}`
  const device = await broker.connect({ heartBeat: BEAT_MS })
  await device.subscribe(topic)
  await sleep(6 * BEAT_MS)
  device.send(topic, 'still there')
  assert.deepEqual(await device.take(1), ['still there'])
  await device.disconnect()
}
