// What each behaviour begins with.
'use strict'

const amqp = require('amqplib')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const readline = require('node:readline')

// A name nobody used.
const fresh = (name) => `${name}-${randomBytes(6).toString('hex')}`

// Runs `work` with a confirm channel, then closes the connection.
async function withChannel(url, work) {
  const connection = await amqp.connect(url)
  await work(await connection.createConfirmChannel(), connection)
  await connection.close()
}

// A new durable queue that holds `count` confirmed messages "0", "1", ...
async function durableQueue(channel, name, count = 0, queueArguments = {}) {
  const { queue } = await channel.assertQueue(fresh(name), { durable: true, arguments: queueArguments })
  for (let number = 0; number < count; number++) {
    channel.sendToQueue(queue, Buffer.from(String(number)), { persistent: true })
  }
  await channel.waitForConfirms()
  return queue
}

const messageCount = async (channel, queue) => (await channel.checkQueue(queue)).messageCount

// The bodies of all that is in a queue, fetched one by one.
async function drain(channel, queue) {
  const bodies = []
  for (let message; (message = await channel.get(queue, { noAck: true })); ) bodies.push(message.content.toString())
  return bodies
}

// `work` on a channel of its own is refused, and the channel closed, with `code`.
async function refused(connection, code, work) {
  const channel = await connection.createChannel()
  const closed = once(channel, 'error')
  let failed = false
  await work(channel).catch(() => (failed = true))
  const [error] = await closed
  if (!failed || error.code !== code) throw new Error(`not refused with ${code}: ${error}`)
}

// Asks whoever runs this to restart the broker; resolves once it accepts connections again.
async function restartBroker() {
  const lines = readline.createInterface({ input: process.stdin })
  console.log('restart')
  const [line] = await once(lines, 'line')
  if (line !== 'restarted') throw new Error(line)
  lines.close()
}

module.exports = { amqp, drain, durableQueue, fresh, messageCount, refused, restartBroker, withChannel }
