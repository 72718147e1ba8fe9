// What is sent and settled in a transaction happens at COMMIT, and never after ABORT or a lost connection.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const [source, target] = [`/queue/${fresh('source')}`, `/queue/${fresh('target')}`]
  const [worker, watcher] = [await broker.connect(), await broker.connect()]
  await watcher.subscribe(target)
  for (const body of ['1', '2']) await watcher.sendSurely(source, body)
  await worker.subscribe(source, { ack: 'client', 'prefetch-count': '1' })

  const aborted = worker.begin()
  worker.send(target, 'aborted', { transaction: aborted.id })
  aborted.abort()
  const committed = worker.begin()
  for (const body of ['a', 'b']) worker.send(target, body, { transaction: committed.id })
  ;(await worker.next()).ack({ transaction: committed.id })
  worker.send(target, 'outside')
  assert.deepEqual(await watcher.take(1), ['outside'])
  committed.commit()
  assert.deepEqual(await watcher.take(2), ['a', 'b'])

  const task = await worker.next()
  assert.equal(task.body.toString(), '2')
  const lost = worker.begin()
  worker.send(target, 'lost', { transaction: lost.id })
  task.ack({ transaction: lost.id })
  await worker.sendSurely(`/topic/${fresh('nobody')}`, '')
  await worker.hangUp()
  assert.deepEqual(await watcher.until(target), [])
  const heir = await broker.connect()
  await heir.subscribe(source)
  const again = await heir.next()
  assert.deepEqual([again.body.toString(), again.headers.redelivered], ['2', 'true'])
  await heir.disconnect()
  await watcher.disconnect()
}
