// Request and reply by a temporary queue.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const queue = `/queue/${fresh('service')}`
  const [service, requester] = [await broker.connect(), await broker.connect()]
  await service.subscribe(queue)
  requester.takeUnasked('/temp-queue/answers')
  for (const body of ['1', '2']) {
    requester.send(queue, body, { 'reply-to': '/temp-queue/answers', 'correlation-id': body })
    const request = await service.next()
    service.send(request.headers['reply-to'], `re ${request.body}`, { 'correlation-id': body })
    const reply = await requester.next()
    assert.deepEqual([reply.body.toString(), reply.headers['correlation-id']], [`re ${body}`, body])
    assert.equal(reply.headers.subscription, '/temp-queue/answers')
  }
  await requester.disconnect()
  await service.disconnect()
}
