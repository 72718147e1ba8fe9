// Bodies of a mebibyte, whole and, by those who can, in many WebSocket messages.
'use strict'

const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const queue = `/queue/${fresh('large')}`
  for (const options of [{}, { splitLargeFrames: true }, { splitLargeFrames: true, maxWebSocketChunkSize: 1000 }]) {
    const device = await broker.connect(options)
    await device.subscribe(queue)
    const sent = [randomBytes(1 << 20), randomBytes(1 << 20)]
    for (const body of sent) device.send(queue, body)
    for (const body of sent) assert(body.equals((await device.next()).body))
    await device.disconnect()
  }
}
