// Messages of 10 MB arrive as they were sent.
'use strict'

const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { durableQueue, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const queue = await durableQueue(channel, 'large')
    const sent = [0, 1, 2].map((less) => randomBytes(10_000_000 - less))
    for (const body of sent) channel.sendToQueue(queue, body, { persistent: true })
    await channel.waitForConfirms()
    for (const body of sent) assert(body.equals((await channel.get(queue, { noAck: true })).content))
    await channel.deleteQueue(queue)
  })
