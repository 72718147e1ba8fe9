// Headers come as they were sent; the destination is the sender's.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const queue = `/queue/${fresh('headers')}`
  const device = await broker.connect()
  const { id } = await device.subscribe(queue)
  const own = { colour: 'grey green', naïve: 'čaj', 'correlation-id': '17', priority: '3', type: 'greeting' }
  // stompjs escapes in 1.2 only.
  if (broker.version === '1.2') Object.assign(own, { colons: 'a:b\\', lines: 'one\ntwo' })
  device.send(queue, 'hello', { 'content-type': 'text/plain', ...own })
  const { headers, body } = await device.next()
  for (const [name, value] of Object.entries(own)) assert.equal(headers[name], value, name)
  assert.equal(headers['content-type'], 'text/plain')
  assert.equal(headers.destination, queue)
  assert.equal(headers.subscription, id)
  assert.equal(body.toString(), 'hello')
  await device.disconnect()
}
