// A client sends a topic once and then its number.
'use strict'

const assert = require('node:assert/strict')
const { fresh } = require('../client')

module.exports = async (broker) => {
  const topic = fresh('alias')
  const watcher = await broker.connect({ properties: { topicAliasMaximum: 5 } })
  await watcher.subscribe(`${topic}/+`, 1)
  const device = await broker.connect({ autoAssignTopicAlias: true, autoUseTopicAlias: true })
  const names = ['a', 'b', 'a', 'b', 'c', 'a'].map((name) => `${topic}/${name}`)
  for (const name of names) await device.publish(name, name)
  assert.deepEqual((await watcher.take(names.length)).map((message) => [message.topic, message.payload]),
    names.map((name) => [name, name]))
}
