// The one who is taken over is told so.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const clientId = fresh('taken')
  const first = await broker.connect({ clientId })
  await broker.connect({ clientId })
  await first.ended
  assert.equal(first.reason, 0x8e)
}
