// `node publish_until_lost.js URL QUEUE FIRST`: publishes "FIRST", "FIRST + 1", ... to a durable queue, up to
// WINDOW of them unconfirmed, and prints each number once it is confirmed, until the connection is lost.
'use strict'

const { amqp } = require('./client')

const WINDOW = 500

async function main(url, queue, first) {
  const connection = await amqp.connect(url)
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  await channel.assertQueue(queue, { durable: true })
  let next = first
  let unconfirmed = 0
  let lost = false
  const publish = () => {
    while (!lost && unconfirmed < WINDOW) {
      const number = next++
      unconfirmed++
      channel.sendToQueue(queue, Buffer.from(String(number)), { persistent: true }, (error) => {
        unconfirmed--
        if (error) return
        console.log(number)
        setImmediate(publish)
      })
    }
  }
  connection.on('close', () => {
    lost = true
    console.log(`sent ${next}`)
    process.exitCode = 0
  })
  publish()
}

const [url, queue, first] = process.argv.slice(2)
main(url, queue, Number(first))
