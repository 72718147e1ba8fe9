// Text as text and bytes as bytes, in either kind of WebSocket message.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const queue = `/queue/${fresh('text')}`
  for (const options of [{}, { forceBinaryWSFrames: true }]) {
    const device = await broker.connect(options)
    await device.subscribe(queue)
    device.send(queue, 'čaj ☕')
    assert.deepEqual(await device.take(1), ['čaj ☕'])
    if (device.client.publish) {
      device.client.publish({ destination: queue, body: 'as text ☕' })
      assert.deepEqual(await device.take(1), ['as text ☕'])
      device.client.publish({ destination: queue, body: 'no length', skipContentLengthHeader: true })
      assert.deepEqual(await device.take(1), ['no length'])
    }
    await device.disconnect()
  }
}
