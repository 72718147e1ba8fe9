// A mandatory message that leads nowhere comes back before it is confirmed.
'use strict'

const assert = require('node:assert/strict')
const { fresh, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const events = []
    channel.on('return', (message) => {
      assert.equal(message.fields.replyCode, 312)
      assert.equal(message.fields.replyText, 'NO_ROUTE')
      events.push(`returned ${message.content}`)
    })
    channel.sendToQueue(fresh('nowhere'), Buffer.from('back'), { mandatory: true }, (error) => {
      assert.equal(error, null)
      events.push('confirmed')
    })
    await channel.waitForConfirms()
    assert.deepEqual(events, ['returned back', 'confirmed'])
  })
