// Messages per second by protocol, from the broker's /metrics (Prometheus' text).

import { drawSpark } from './spark.js'

const INTERVAL_MS = 2000
const SHOWN = 60
const SPAN_MIN = 10
const SAMPLE = /^rabbitmq_global_messages_(received|delivered)_total\{([^}]*)\} (\S+)/gm
const WAYS = { received: 'in', delivered: 'out' }
const PROTOCOLS = [['amqp', /amqp/], ['mqtt', /mqtt/], ['stomp', /stomp/]]

// Totals by protocol and way, as {mqtt: {in: 12, out: 3}}.
export function totals (text) {
  const found = {}
  for (const [, name, labels, value] of text.matchAll(SAMPLE)) {
    const label = /protocol="([^"]*)"/.exec(labels)?.[1] ?? ''
    const protocol = PROTOCOLS.find(([, pattern]) => pattern.test(label))?.[0]
    if (protocol === undefined) continue
    const ways = found[protocol] ??= { in: 0, out: 0 }
    ways[WAYS[name]] += Number(value)
  }
  return found
}

export class Rates {
  constructor (section, url) {
    this.url = url
    this.last = null
    this.cards = new Map([...section.querySelectorAll('[data-protocol]')].map((card) => [card.dataset.protocol, new Card(card)]))
    this.poll()
  }

  async poll () {
    try {
      const answer = await fetch(this.url, { cache: 'no-store' })
      if (answer.ok) this.receive(totals(await answer.text()), performance.now())
    } catch {
      this.last = null // the broker is away; the state line says so
    }
    setTimeout(() => this.poll(), INTERVAL_MS)
  }

  receive (now, nowMs) {
    const last = this.last
    this.last = { totals: now, ms: nowMs }
    if (last === null) return
    const seconds = (nowMs - last.ms) / 1000
    for (const [protocol, card] of this.cards) {
      const rate = (way) => ((now[protocol]?.[way] ?? 0) - (last.totals[protocol]?.[way] ?? 0)) / seconds
      // A broker that was started anew counts from zero.
      card.show(Math.max(rate('in'), 0), Math.max(rate('out'), 0))
    }
  }
}

class Card {
  constructor (card) {
    this.in = card.querySelector('[data-way="in"]')
    this.out = card.querySelector('[data-way="out"]')
    this.line = card.querySelector('polyline')
    this.history = []
  }

  show (incoming, outgoing) {
    this.in.textContent = said(incoming)
    this.out.textContent = said(outgoing)
    this.history.push(incoming + outgoing)
    if (this.history.length > SHOWN) this.history.shift()
    drawSpark(this.line, this.history, SHOWN, SPAN_MIN, 0)
  }
}

const said = (rate) => rate > 0 && rate < 9.95 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en')
