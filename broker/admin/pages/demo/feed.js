// The page's connection: STOMP in a WebSocket, to the host the page came from. It connects again by itself.

const WATCHED = '/topic/fleet.#'
const RETRY_MS = 1000
const RETRY_MS_MAX = 15000

export const address = (location) => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`

// `listener`: receiveState(state, text) with state connecting, connected, lost or refused; receiveMessage(message).
export function openFeed (stomp, url, listener) {
  let refusal = null
  const client = new stomp.Client({
    brokerURL: url,
    connectHeaders: { login: 'guest', passcode: 'guest' },
    reconnectDelay: RETRY_MS,
    maxReconnectDelay: RETRY_MS_MAX,
    reconnectTimeMode: stomp.ReconnectionTimeMode.EXPONENTIAL,
    beforeConnect: () => {
      if (refusal === null) listener.receiveState('connecting', 'Connecting')
    },
    onConnect: () => {
      refusal = null
      client.subscribe(WATCHED, (frame) => listener.receiveMessage(read(frame)))
      listener.receiveState('connected', 'Connected')
    },
    onStompError: (frame) => {
      refusal = frame.headers.message || 'the broker refused'
      listener.receiveState('refused', `Refused: ${refusal}`)
    },
    onWebSocketClose: () => {
      if (refusal === null) listener.receiveState('lost', 'Connection lost, trying again')
    }
  })
  client.activate()
  return {
    get connected () { return client.connected },
    // The answer to it has the same correlation id.
    sendCommand (truck, body, correlationId) {
      client.publish({
        destination: `/topic/fleet.${escaped(truck)}.command`,
        body,
        headers: { 'content-type': 'text/plain', 'correlation-id': correlationId, via: 'STOMP' }
      })
    }
  }
}

function read (frame) {
  const key = frame.headers.destination.replace(/^\/(topic|exchange\/[^/]*|queue)\//, '')
  const levels = key.split('.').map(unescaped)
  return {
    address: unescaped(key),
    truck: levels.length > 2 ? levels.slice(1, -1).join('.') : '',
    kind: levels[levels.length - 1],
    body: frame.body,
    correlationId: frame.headers['correlation-id'] || '',
    // Only who published it knows by what protocol: the demo's programs say so in a header.
    via: frame.headers.via || ''
  }
}

const escaped = (level) => encodeURIComponent(level).replaceAll('.', '%2E')

function unescaped (text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a lonely percent sign
  }
}
