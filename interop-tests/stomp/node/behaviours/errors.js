// A mistake is answered with an ERROR.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  for (const destination of ['/nowhere/x', `/exchange/${fresh('nowhere')}/key`]) {
    const device = await broker.connect()
    device.send(destination, 'lost')
    assert((await device.errors.next()).headers.message)
  }
}
