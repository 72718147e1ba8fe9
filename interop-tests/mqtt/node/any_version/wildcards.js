// Wildcards, empty levels, dollars, dots and letters of any language.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const own = fresh('w')
  const topics = ['', '/', '/a/b', '/a//b', '/x.y/z', '/a b/ c', '/日本/😀', '/$a/b'].map((rest) => own + rest)
  const cases = {
    [`${own}/#`]: topics,
    [`${own}/+`]: [`${own}/`],
    [`${own}/+/+`]: topics.filter((topic) => topic.split('/').length === 3),
    [`+/a/+/b`]: [`${own}/a//b`],
    [`${own}/日本/+`]: [`${own}/日本/😀`],
  }
  const [subscriber, publisher] = [await broker.connect(), await broker.connect()]
  for (const [filter, wanted] of Object.entries(cases)) {
    await subscriber.subscribe([filter, `end-${own}`], 1)
    for (const topic of topics) await publisher.publish(topic, topic)
    await publisher.publish(`end-${own}`, 'end')
    const got = (await subscriber.until('end')).filter((message) => message.topic.startsWith(own))
    assert.deepEqual(got.map((message) => message.topic), wanted, filter)
    assert(got.every((message) => message.payload === message.topic))
    await subscriber.client.unsubscribeAsync(filter)
  }
}
