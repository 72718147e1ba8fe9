// `node run.js LEVEL BEHAVIOUR URL`: one behaviour, shown by MQTT.js in a protocol level; a stack trace if it fails.
'use strict'

const { existsSync } = require('node:fs')
const { Broker } = require('./client')

const [level, behaviour, url] = process.argv.slice(2)
const DEADLINE_MS = 60_000

process.on('unhandledRejection', (error) => {
  console.error(error)
  process.exit(1)
})
setTimeout(() => {
  console.error(`not shown within ${DEADLINE_MS} ms`)
  process.exit(1)
}, DEADLINE_MS)

const folder = ['any_version', 'version_5'].find((name) => existsSync(`${__dirname}/${name}/${behaviour}.js`))
require(`./${folder}/${behaviour}`)(new Broker(url, Number(level))).then(() => {
  console.log('shown')
  process.exit(0)
})
