// Messages per second by protocol, from the broker's /metrics (Prometheus' text).

import { drawSpark } from './spark.js'

const INTERVAL_MS = 2000
const WINDOW = 4
const SHOWN = 60
const SPAN_MIN = 10
const SAMPLE = /^dragoman_messages_(received|sent)_total\{protocol="([^"]*)"\} (\S+)$/gm
const WAYS = { received: 'in', sent: 'out' }

// Totals by protocol and way, as {mqtt: {in: 12, out: 3}}.
export function totals (text) {
  const found = {}
  for (const [, name, protocol, value] of text.matchAll(SAMPLE)) {
    (found[protocol] ??= { in: 0, out: 0 })[WAYS[name]] = Number(value)
  }
  return found
}

export class Rates {
  constructor (section, url) {
    this.url = url
    this.last = []
    this.cards = new Map([...section.querySelectorAll('[data-protocol]')].map((card) => [card.dataset.protocol, new Card(card)]))
    this.poll()
  }

  async poll () {
    try {
      const answer = await fetch(this.url, { cache: 'no-store' })
      if (answer.ok) this.receive(totals(await answer.text()), performance.now())
    } catch {
      this.last = [] // the broker is away; the state line says so
    }
    setTimeout(() => this.poll(), INTERVAL_MS)
  }

  // Over a few intervals: the broker's figures may be a second old.
  receive (now, nowMs) {
    this.last.push({ totals: now, ms: nowMs })
    if (this.last.length > WINDOW) this.last.shift()
    const [first] = this.last
    const seconds = (nowMs - first.ms) / 1000
    if (seconds === 0) return
    for (const [protocol, card] of this.cards) {
      // A broker that was started anew counts from zero.
      const rate = (way) => Math.max((now[protocol]?.[way] ?? 0) - (first.totals[protocol]?.[way] ?? 0), 0) / seconds
      card.show(rate('in'), rate('out'))
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
