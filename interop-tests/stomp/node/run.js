// `node run.js CLIENT VERSION BEHAVIOUR URL`: one behaviour, shown by a client in a protocol version; a stack trace if
// it fails.
'use strict'

const { Broker } = require('./client')

const [client, version, behaviour, url] = process.argv.slice(2)
const DEADLINE_MS = 60_000

process.on('unhandledRejection', (error) => {
  console.error(error)
  process.exit(1)
})
setTimeout(() => {
  console.error(`not shown within ${DEADLINE_MS} ms`)
  process.exit(1)
}, DEADLINE_MS)

const { Device } = require(`./${client}`)
require(`./behaviours/${behaviour}`)(new Broker(url, version, Device)).then(() => {
  console.log('shown')
  process.exit(0)
})
