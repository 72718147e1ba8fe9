// `client` settles all up to a message, `client-individual` one; the rest comes back when its consumer leaves.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

const LEFT = { client: ['5', '6'], 'client-individual': ['1', '2', '3', '5', '6'] }

module.exports = async (broker) => {
  for (const [ack, left] of Object.entries(LEFT)) {
    if (broker.version === '1.0' && ack !== 'client') continue
    const queue = `/queue/${fresh(ack)}`
    const [producer, consumer] = [await broker.connect(), await broker.connect()]
    for (let number = 1; number <= 6; number++) await producer.sendSurely(queue, String(number))
    await consumer.subscribe(queue, { ack })
    const messages = []
    while (messages.length < 6) messages.push(await consumer.next())
    messages[3].ack()
    await consumer.sendSurely(`/topic/${fresh('nobody')}`, '') // and so the ACK is there
    await consumer.hangUp()
    const heir = await broker.connect()
    await heir.subscribe(queue)
    const again = []
    while (again.length < left.length) again.push(await heir.next())
    assert.deepEqual(again.map((message) => message.body.toString()), left)
    assert(again.every((message) => message.headers.redelivered === 'true'))
    assert.deepEqual(await heir.until(queue), [])
    await heir.disconnect()
    await producer.disconnect()
  }
}
