// What is refused for good goes to the dead-letter exchange.
'use strict'

const assert = require('node:assert/strict')
const { durableQueue, messageCount, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const dead = await durableQueue(channel, 'dead')
    const queue = await durableQueue(channel, 'nack', 3, {
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': dead
    })
    let last
    for (let number = 0; number < 3; number++) last = await channel.get(queue)
    channel.nack(last, true, false)
    const letters = []
    await new Promise((resolve) => {
      channel.consume(dead, (letter) => letters.push(letter) === 3 && resolve(), { noAck: true })
    })
    assert.deepEqual(letters.map((letter) => letter.content.toString()).sort(), ['0', '1', '2'])
    for (const letter of letters) assert.equal(letter.properties.headers['x-death'][0].reason, 'rejected')
    assert.equal(await messageCount(channel, queue), 0)
    await channel.deleteQueue(queue)
    await channel.deleteQueue(dead)
  })
