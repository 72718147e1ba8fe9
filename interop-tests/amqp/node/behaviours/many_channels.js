// 200 channels of one connection, each publishing to and consuming from its own queue.
'use strict'

const assert = require('node:assert/strict')
const { withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (_, connection) => {
    const echoes = [...Array(200).keys()].map(async (number) => {
      const channel = await connection.createChannel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      return new Promise((resolve) => {
        channel.consume(queue, (message) => resolve(message.content.toString()), { noAck: true })
        channel.sendToQueue(queue, Buffer.from(String(number)))
      })
    })
    assert.deepEqual(await Promise.all(echoes), [...Array(200).keys()].map(String))
  })
