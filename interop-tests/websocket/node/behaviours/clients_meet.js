// MQTT.js, stompjs and amqp-client, each in the browser and over a WebSocket, get what each of them publishes.
'use strict'

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const { resolve } = require('node:path')

const FILES = {
  'meet.js': ['../clients/meet.js', 'text/javascript'],
  'mqtt.js': ['../node_modules/mqtt/dist/mqtt.esm.js', 'text/javascript'],
  'amqp.js': ['../node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs', 'text/javascript']
}
const STOMP = resolve(__dirname, '../node_modules/@stomp/stompjs/esm6')

module.exports = async ({ newPage, url }) => {
  // A page of the broker's, since Chromium lets no other use sockets of this machine; it may lack an icon.
  const page = await newPage({}, [])
  await page.route('**/clients/**', (route) => {
    const path = new URL(route.request().url()).pathname.replace('/clients/', '')
    const [file, contentType] = path.startsWith('stomp/')
      ? [resolve(STOMP, path.replace('stomp/', '')), 'text/javascript']
      : [resolve(__dirname, FILES[path][0]), FILES[path][1]]
    return route.fulfill({ contentType, body: readFileSync(file) })
  })
  await page.goto(new URL('/', url).href)
  const received = await page.evaluate(async () => (await import('/clients/meet.js')).meet())
  const everything = ['AMQP', 'MQTT', 'STOMP'].map((name) => `crossing by ${name}`)
  assert.deepStrictEqual(received, { AMQP: everything, MQTT: everything, STOMP: everything })
}
