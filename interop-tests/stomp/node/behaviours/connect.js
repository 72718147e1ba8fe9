// A connection, a wrong passcode, and a second one.
'use strict'

const assert = require('node:assert/strict')

module.exports = async (broker) => {
  const device = await broker.connect()
  if (device.connected.version) assert.equal(device.connected.version, broker.version)
  await broker.refused({ passcode: 'wrong' })
  await (await broker.connect()).disconnect()
  await device.disconnect()
}
