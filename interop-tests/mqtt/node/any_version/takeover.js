// The last to connect with a client id has it; the old connection is ended.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const [topic, clientId] = [fresh('takeover'), fresh('taken')]
  const first = await broker.resume(clientId)
  await first.subscribe(topic, 1)
  const second = await broker.resume(clientId)
  await first.ended
  if (broker.level > 3) assert(second.connack.sessionPresent)
  await second.publish(topic, 'here')
  assert.equal((await second.next()).payload, 'here')
  await second.disconnect()
  await broker.forget(clientId)
}
