// Request and response, with all that the request says of itself.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('service')
  const [requester, responder] = [await broker.connect(), await broker.connect()]
  await responder.subscribe(topic, 1)
  await requester.subscribe(`${topic}/answers`, 1)
  const properties = {
    responseTopic: `${topic}/answers`,
    correlationData: Buffer.from([0, 1, 255]),
    contentType: 'text/plain',
    payloadFormatIndicator: true,
    userProperties: { z: ['1', '2'], a: 'ü' },
  }
  await requester.publish(topic, 'question', 1, { properties })
  const request = await responder.next()
  assert.deepEqual({ ...request.properties, userProperties: { ...request.properties.userProperties } }, properties)
  const { correlationData } = request.properties
  await responder.publish(request.properties.responseTopic, 'answer', 1, { properties: { correlationData } })
  const answer = await requester.next()
  assert.deepEqual([answer.payload, answer.properties.correlationData], ['answer', properties.correlationData])
}
