// A wrong password is refused with the right code.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const right = broker.level === 5 ? [0x86, 0x87] : [4, 5]
  const refused = await broker.connect({ clientId: fresh('bad'), password: 'wrong' }).catch((error) => error)
  assert(right.includes(refused.code), String(refused))
  await (await broker.connect()).disconnect()
}
