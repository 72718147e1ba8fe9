// Three clients of three protocols, each listening to `crossing` before any of them speaks.

import mqtt from './mqtt.js'
import { AMQPWebSocketClient } from './amqp.js'
import { Client } from './stomp/client.js'

const COUNT = 3
const socket = (path) => `ws://${location.host}${path}`
const decoder = new TextDecoder()

// What each has received, sorted: {AMQP: [...], MQTT: [...], STOMP: [...]}.
export async function meet () {
  const clients = await Promise.all([overAmqp(), overMqtt(), overStomp()])
  for (const client of clients) await client.publish(`crossing by ${client.name}`)
  const received = await Promise.all(clients.map((client) => client.all))
  await Promise.all(clients.map((client) => client.end()))
  return Object.fromEntries(clients.map((client, number) => [client.name, received[number]]))
}

// Resolved once all have come.
function collected () {
  const bodies = []
  let resolve
  const all = new Promise((resolved) => { resolve = resolved })
  const receive = (body) => {
    if (bodies.push(body) === COUNT) resolve(bodies.sort())
  }
  return { all, receive }
}

async function overAmqp () {
  const { all, receive } = collected()
  const client = new AMQPWebSocketClient({ url: socket('/ws'), vhost: '/', username: 'guest', password: 'guest', name: 'browser' })
  const channel = await (await client.connect()).channel()
  const queue = await channel.queueDeclare('', { exclusive: true })
  await channel.queueBind(queue.name, 'amq.topic', 'crossing')
  await channel.basicConsume(queue.name, { noAck: true }, (message) => receive(message.bodyString()))
  return { name: 'AMQP', all, publish: (body) => channel.basicPublish('amq.topic', 'crossing', body), end: () => client.close() }
}

async function overMqtt () {
  const { all, receive } = collected()
  const client = await mqtt.connectAsync(socket('/ws'), { protocolVersion: 5, username: 'guest', password: 'guest', reconnectPeriod: 0 })
  client.on('message', (_, payload) => receive(decoder.decode(payload)))
  await client.subscribeAsync('crossing', { qos: 1 })
  return { name: 'MQTT', all, publish: (body) => client.publishAsync('crossing', body, { qos: 1 }), end: () => client.endAsync() }
}

async function overStomp () {
  const { all, receive } = collected()
  const client = new Client({ brokerURL: socket('/ws'), connectHeaders: { login: 'guest', passcode: 'guest' }, reconnectDelay: 0 })
  await new Promise((resolve, reject) => {
    client.onConnect = resolve
    client.onStompError = (frame) => reject(new Error(frame.headers.message))
    client.onWebSocketError = reject
    client.activate()
  })
  const subscribed = receipt(client, 'subscribed')
  client.subscribe('/topic/crossing', (frame) => receive(frame.body), { receipt: 'subscribed' })
  await subscribed
  return { name: 'STOMP', all, publish: (body) => client.publish({ destination: '/topic/crossing', body }), end: () => client.deactivate() }
}

const receipt = (client, id) => new Promise((resolve) => client.watchForReceipt(id, resolve))
