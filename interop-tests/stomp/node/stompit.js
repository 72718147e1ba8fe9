// stompit, over TCP.
'use strict'

const net = require('node:net')
const stompit = require('stompit')
const { AnyDevice, within } = require('./client')

// An ERROR with a text destroys a stream that nobody can listen to, instead of the client; so the last one gets it.
let last
process.on('uncaughtException', (error) => {
  if (error.longMessage) {
    last.errors.put({ headers: { message: error.message }, body: error.longMessage })
    return
  }
  console.error(error)
  process.exit(1)
})

class Device extends AnyDevice {
  open({ login, passcode, heartBeat = 0 }) {
    const { hostname: host, port, version } = this.broker
    last = this
    this.socket = net.connect(port, host)
    this.client = new stompit.Client(this.socket)
    this.client.on('error', (error) => this.errors.put({ headers: { message: error.message }, body: error.message }))
    this.socket.on('close', () => this.end())
    this.socket.on('error', () => {}) // told by the client
    const headers = { host: '/', login, passcode, 'accept-version': version, 'heart-beat': `${heartBeat},${heartBeat}` }
    return new Promise((resolve, reject) => {
      this.client.on('connect', (_, headers = {}) => (this.connected = headers))
      this.client.connect(headers, (error) => (error ? reject(error) : resolve()))
    })
  }

  send(destination, body, headers = {}, options = {}) {
    const bytes = Buffer.from(body)
    this.client.send({ destination, 'content-length': bytes.length, ...headers }, options).end(bytes)
  }

  answered(ask) {
    return within(new Promise((onReceipt) => ask({ onReceipt })), 'RECEIPT')
  }

  sendSurely(destination, body, headers) {
    return this.answered((options) => this.send(destination, body, headers, options))
  }

  async subscribe(destination, headers = {}) {
    const subscription = this.client.subscribe({ destination, ...headers }, (error, message) => {
      if (!error) this.receive(message)
    })
    await this.answered((options) => this.send(`/topic/nobody`, '', {}, options)) // it asks for no receipt itself
    return {
      id: String(subscription.getId()),
      unsubscribe: async (headers = {}) => {
        subscription.unsubscribe(headers)
        await this.answered((options) => this.send(`/topic/nobody`, '', {}, options))
      },
    }
  }

  receive(message) {
    const [ack, nack] = ['ack', 'nack'].map((verb) => (headers) => this.client[verb](message, headers))
    const pieces = []
    message.on('data', (piece) => pieces.push(piece))
    message.on('end', () => this.messages.put({ headers: message.headers, body: Buffer.concat(pieces), ack, nack }))
  }

  // What it gives to no subscription of its own.
  takeUnasked(id) {
    this.client.setImplicitSubscription(id, 'auto', (error, message) => {
      if (!error) this.receive(message)
    })
  }

  begin() {
    const transaction = this.client.begin()
    return { id: transaction.id, commit: () => transaction.commit(), abort: () => transaction.abort() }
  }

  async disconnect() {
    this.client.disconnect()
    await within(this.ended, 'the end')
  }

  async hangUp() {
    this.socket.destroy()
    await this.ended
  }
}

module.exports = { Device }
