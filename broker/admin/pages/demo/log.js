// The last messages, each with the protocol it came by. Readings and averages are thinned out, nothing else is.

const SHOWN_MAX = 60
const SAMPLE_MS = 2000
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const PROTOCOLS = { MQTT: 'mqtt', AMQP: 'amqp', STOMP: 'stomp' }

export class Log {
  constructor (list, pause) {
    this.list = list
    this.paused = false
    this.waiting = []
    this.sampledMs = new Map()
    pause.addEventListener('click', () => {
      this.paused = !this.paused
      pause.setAttribute('aria-pressed', this.paused)
      pause.textContent = this.paused ? 'Go on' : 'Pause'
    })
  }

  // `regular`: one of the many alike.
  receive (message, regular, nowMs) {
    if (regular) {
      if (nowMs - (this.sampledMs.get(message.kind) ?? 0) < SAMPLE_MS) return
      this.sampledMs.set(message.kind, nowMs)
    }
    this.waiting.push({ message, regular, nowMs })
    if (this.waiting.length > SHOWN_MAX) this.waiting.shift()
  }

  update () {
    if (this.paused || this.waiting.length === 0) return
    this.list.prepend(...this.waiting.reverse().map(row))
    this.waiting = []
    while (this.list.children.length > SHOWN_MAX) this.list.lastChild.remove()
  }
}

function row ({ message, regular, nowMs }) {
  const item = document.createElement('li')
  item.dataset.protocol = PROTOCOLS[message.via] ?? 'other'
  if (!regular) item.className = 'rare'
  const time = part('time', '', TIME.format(nowMs))
  const protocol = part('span', 'protocol', PROTOCOLS[message.via] ? message.via : 'other')
  if (!PROTOCOLS[message.via]) protocol.title = 'whoever published it did not say (header via)'
  const body = part('span', 'body', message.body)
  body.title = message.body
  item.append(time, protocol, part('span', 'address', message.address), body)
  return item
}

function part (name, className, text) {
  const element = document.createElement(name)
  if (className) element.className = className
  element.textContent = text.slice(0, 200)
  return element
}
