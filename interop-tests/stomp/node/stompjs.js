// stompjs, over TCP by its wrapper or over WebSocket by ws.
'use strict'

const { Client, Versions } = require('@stomp/stompjs')
const { TCPWrapper } = require('@stomp/tcp-wrapper')
const { WebSocket } = require('ws')
const { AnyDevice, fresh, within } = require('./client')

class Device extends AnyDevice {
  open({ login, passcode, heartBeat = 0, ...options }) {
    const { hostname, port, websocket, version } = this.broker
    const stompVersions = new Versions([version])
    const socket = () =>
      websocket ? new WebSocket(websocket, stompVersions.protocolVersions()) : new TCPWrapper(hostname, port)
    this.client = new Client({
      webSocketFactory: () => (this.socket = socket()),
      stompVersions,
      connectHeaders: { login, passcode, host: '/' },
      heartbeatIncoming: heartBeat,
      heartbeatOutgoing: heartBeat,
      reconnectDelay: 0,
      ...options,
    })
    this.client.onStompError = ({ headers, body }) => this.errors.put({ headers, body })
    this.client.onWebSocketClose = () => this.end()
    this.client.onUnhandledReceipt = ({ headers }) => this.errors.put(new Error(`receipt ${headers['receipt-id']}`))
    return new Promise((resolve) => {
      this.client.onConnect = ({ headers }) => {
        this.connected = headers
        resolve()
      }
      this.client.activate()
    })
  }

  send(destination, body, headers = {}) {
    this.client.publish({ destination, binaryBody: new Uint8Array(Buffer.from(body)), headers })
  }

  receipt() {
    const receipt = fresh('receipt')
    const answered = new Promise((resolve) => this.client.watchForReceipt(receipt, resolve))
    return [receipt, within(answered, 'RECEIPT')]
  }

  async sendSurely(destination, body, headers = {}) {
    const [receipt, answered] = this.receipt()
    this.send(destination, body, { receipt, ...headers })
    await answered
  }

  async subscribe(destination, headers = {}) {
    const [receipt, answered] = this.receipt()
    const take = (message) => {
      const { headers, binaryBody } = message
      const [ack, nack] = [message.ack.bind(message), message.nack.bind(message)]
      this.messages.put({ headers, body: Buffer.from(binaryBody), ack, nack })
    }
    const subscription = this.client.subscribe(destination, take, { receipt, ...headers })
    await answered
    return {
      id: subscription.id,
      unsubscribe: async (headers = {}) => {
        const [receipt, answered] = this.receipt()
        subscription.unsubscribe({ receipt, ...headers })
        await answered
      },
    }
  }

  // What it gives to no subscription of its own.
  takeUnasked() {
    this.client.onUnhandledMessage = ({ headers, binaryBody }) =>
      this.messages.put({ headers, body: Buffer.from(binaryBody) })
  }

  begin() {
    const transaction = this.client.begin()
    return { id: transaction.id, commit: () => transaction.commit(), abort: () => transaction.abort() }
  }

  async disconnect() {
    await within(this.client.deactivate(), 'the end')
  }

  async hangUp() {
    this.socket.terminate()
    await this.ended
  }
}

module.exports = { Device }
