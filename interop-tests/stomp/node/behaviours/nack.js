// NACK gives a message back; with `requeue:false` it is gone.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  if (broker.version === '1.0') return // has no NACK
  const queue = `/queue/${fresh('nack')}`
  const device = await broker.connect()
  device.send(queue, 'again')
  await device.subscribe(queue, { ack: 'client-individual', 'prefetch-count': '1' })
  const first = await device.next()
  first.nack()
  const second = await device.next()
  assert.deepEqual([second.body.toString(), second.headers.redelivered], ['again', 'true'])
  second.nack({ requeue: 'false' })
  assert.deepEqual(await device.until(queue), [])
  await device.disconnect()
}
