// What each behaviour begins with.
'use strict'

const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const readline = require('node:readline')

const WAIT_MS = 10_000

// A name nobody used.
const fresh = (name) => `${name}-${randomBytes(6).toString('hex')}`

const within = (promise, what) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${WAIT_MS} ms`)), WAIT_MS)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })

// What came waits until it is asked for.
class Inbox {
  constructor(what) {
    this.what = what
    this.items = []
    this.waiting = []
  }

  put(item) {
    const next = this.waiting.shift()
    if (next) next(item)
    else this.items.push(item)
  }

  next() {
    if (this.items.length) return Promise.resolve(this.items.shift())
    return within(new Promise((resolve) => this.waiting.push(resolve)), this.what)
  }
}

// One connection. Each client has its own: `open`, `send`, `sendSurely`, `subscribe`, `begin`, `disconnect`, `hangUp`.
// Messages have headers, a body (a Buffer), `ack` and `nack`.
class AnyDevice {
  constructor(broker) {
    this.broker = broker
    this.messages = new Inbox('a message')
    this.errors = new Inbox('an ERROR')
    this.ended = new Promise((resolve) => (this.end = resolve))
  }

  next() {
    return this.messages.next()
  }

  async take(count) {
    const bodies = []
    while (bodies.length < count) bodies.push((await this.next()).body.toString())
    return bodies
  }

  // What is sent now is the next that comes: the bodies before it.
  async until(destination, marker = fresh('marker')) {
    const bodies = []
    this.send(destination, marker)
    for (let body; (body = (await this.next()).body.toString()) !== marker; ) bodies.push(body)
    return bodies
  }
}

class Broker {
  constructor(url, version, Device) {
    const { protocol, hostname, port, username, password, pathname } = new URL(url)
    Object.assign(this, { hostname, port: Number(port), version, Device })
    this.websocket = protocol === 'ws:' ? `ws://${hostname}:${port}${pathname}` : undefined
    this.login = { login: username, passcode: password }
  }

  // Resolves once CONNECTED came.
  async connect(options = {}) {
    const device = new this.Device(this)
    await within(device.open({ ...this.login, ...options }), 'CONNECTED')
    return device
  }

  // Resolves with a device that has got an ERROR instead.
  async refused(options) {
    const device = new this.Device(this)
    device.open({ ...this.login, ...options }).catch(() => {})
    await device.errors.next()
    return device
  }
}

// Asks whoever runs this to restart the broker; resolves once it accepts connections again.
async function restartBroker() {
  const lines = readline.createInterface({ input: process.stdin })
  console.log('restart')
  const [line] = await once(lines, 'line')
  if (line !== 'restarted') throw new Error(line)
  lines.close()
}

module.exports = { AnyDevice, Broker, fresh, restartBroker, within }
