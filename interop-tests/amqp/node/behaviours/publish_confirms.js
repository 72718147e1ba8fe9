// Every publish is confirmed once, and counted in its queue.
'use strict'

const assert = require('node:assert/strict')
const { durableQueue, messageCount, withChannel } = require('../client')

module.exports = (url) =>
  withChannel(url, async (channel) => {
    const queue = await durableQueue(channel, 'confirms')
    let confirmed = 0
    for (let number = 0; number < 2000; number++) {
      channel.sendToQueue(queue, Buffer.from('x'), { persistent: true }, (error) => {
        assert.equal(error, null)
        confirmed++
      })
    }
    await channel.waitForConfirms()
    assert.equal(confirmed, 2000)
    assert.equal(await messageCount(channel, queue), 2000)
    assert.equal((await channel.purgeQueue(queue)).messageCount, 2000)
    await channel.deleteQueue(queue)
  })
