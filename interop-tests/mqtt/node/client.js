// What each behaviour begins with.
'use strict'

const mqtt = require('mqtt')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const readline = require('node:readline')

const WAIT_MS = 10_000
const IN_FLIGHT_MAX = 16

// A name nobody used; within the 23 characters that 3.1 allows for a client id.
const fresh = (name) => `${name}-${randomBytes(6).toString('hex')}`

const within = (promise, what) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${WAIT_MS} ms`)), WAIT_MS)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })

// One client, connected once; what it receives waits in a queue.
class Device {
  constructor(client) {
    this.client = client
    this.received = []
    this.waiting = []
    this.reason = undefined // of the broker's DISCONNECT
    client.on('message', (topic, payload, packet) => {
      const { qos, retain, properties = {} } = packet
      const message = { topic, payload: payload.toString(), qos, retain, properties }
      const next = this.waiting.shift()
      if (next) next(message)
      else this.received.push(message)
    })
    client.on('disconnect', (packet) => (this.reason = packet.reasonCode))
    client.on('error', () => {}) // told by `connect`, and by `ended`
    this.ended = new Promise((resolve) => client.once('close', resolve))
  }

  next() {
    if (this.received.length) return Promise.resolve(this.received.shift())
    return within(new Promise((resolve) => this.waiting.push(resolve)), 'a message')
  }

  async take(count) {
    const messages = []
    while (messages.length < count) messages.push(await this.next())
    return messages
  }

  async until(marker) {
    const messages = []
    for (let message; (message = await this.next()).payload !== marker; ) messages.push(message)
    return messages
  }

  // The granted QoS of each filter.
  async subscribe(filters, qos, options = {}) {
    const granted = await within(this.client.subscribeAsync(filters, { qos, ...options }), 'SUBACK')
    return granted.map((each) => each.qos)
  }

  publish(topic, payload, qos = 1, options = {}) {
    return within(this.client.publishAsync(topic, payload, { qos, ...options }), 'an acknowledgement')
  }

  // In order; not more at once than any broker takes, since MQTT.js does not heed Receive Maximum.
  async publishAll(topic, payloads, qos) {
    for (let start = 0; start < payloads.length; start += IN_FLIGHT_MAX) {
      const batch = payloads.slice(start, start + IN_FLIGHT_MAX)
      await Promise.all(batch.map((payload) => this.publish(topic, payload, qos)))
    }
  }

  async disconnect() {
    await this.client.endAsync()
  }

  // Without a DISCONNECT.
  async hangUp() {
    this.client.options.reconnectPeriod = 0
    this.client.stream.destroy()
    await this.ended
  }
}

class Broker {
  constructor(url, level) {
    const { hostname, port, username, password } = new URL(url)
    this.url = `mqtt://${hostname}:${port}` // what it names wins over the options
    this.login = { username, password }
    this.level = level
  }

  // Resolves once CONNACK came; rejects with its code.
  async connect({ clientId = fresh('device'), ...options } = {}) {
    const client = mqtt.connect(this.url, {
      clientId,
      protocolId: this.level === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.level,
      reconnectPeriod: 0,
      resubscribe: false,
      ...this.login,
      ...options,
    })
    const device = new Device(client)
    const [connack] = await within(once(client, 'connect'), 'CONNACK') // an error rejects it
    device.connack = connack
    return device
  }

  // A session that outlives its connection, for an hour in MQTT 5.
  resume(clientId) {
    const lasting = this.level === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
    return this.connect({ clientId, clean: false, ...lasting })
  }

  async forget(clientId) {
    await (await this.connect({ clientId })).disconnect()
  }
}

// Asks whoever runs this to kill and start the broker; resolves once it accepts connections again.
async function restartBroker() {
  const lines = readline.createInterface({ input: process.stdin })
  console.log('restart')
  const [line] = await once(lines, 'line')
  if (line !== 'restarted') throw new Error(line)
  lines.close()
}

module.exports = { Broker, fresh, restartBroker }
