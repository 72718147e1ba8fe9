// Puts the page together: feed -> trucks -> tiles, chart, log; the rest is in its own modules.

import { Command } from './command.js'
import { Chart } from './chart.js'
import { address, openFeed } from './feed.js'
import { Log } from './log.js'
import { Rates } from './rates.js'
import { Tiles } from './tiles.js'
import { Trucks, celsius } from './trucks.js'

const DRAW_MS = 250
const MISSING = 'Two libraries of this page are missing. On the broker’s machine: apt-get install nodejs npm, then make build, and start the broker anew.'
const element = (id) => document.getElementById(id)

class Page {
  constructor (stomp, uPlot) {
    this.trucks = new Trucks()
    this.chosen = null
    this.picked = false // by the user; until then it is the first truck
    this.names = []
    this.log = new Log(element('messages'), element('pause'))
    this.chart = new Chart(uPlot, element('chart'))
    this.tiles = new Tiles(element('tiles'), (name) => this.pick(name))
    this.feed = openFeed(stomp, address(location), this)
    this.command = new Command(element('command'), this.feed)
    this.rates = new Rates(element('rates'), '/metrics')
    element('truck').addEventListener('change', (event) => this.pick(event.target.value))
    setInterval(() => this.draw(), DRAW_MS)
  }

  receiveState (state, text) {
    element('state').dataset.state = state
    element('state-text').textContent = text
    this.command?.update()
  }

  receiveMessage (message) {
    const nowMs = Date.now()
    const regular = this.trucks.receive(message, nowMs / 1000)
    this.log.receive(message, regular, nowMs)
    this.command.receive(message)
  }

  pick (name) {
    this.picked = true
    this.choose(name)
  }

  choose (name) {
    this.chosen = name
    element('truck').value = name
    this.command.choose(name)
    this.draw()
  }

  draw () {
    if (this.trucks.byName.size !== this.names.length) this.placeNames()
    this.log.update()
    if (this.chosen === null) return
    const truck = this.trucks.byName.get(this.chosen)
    this.tiles.update(this.names, this.trucks.byName, this.chosen)
    this.chart.show(this.chosen, truck, Date.now() / 1000)
    const said = (value) => value === null ? '–' : celsius(value, 2)
    element('raw-now').textContent = said(truck.reading)
    element('average-now').textContent = said(truck.average)
  }

  placeNames () {
    this.names = this.trucks.names()
    element('truck').replaceChildren(...this.names.map((name) => new Option(name)))
    element('truck').disabled = false
    element('empty').hidden = true
    element('truck-count').textContent = this.names.length === 1 ? 'a truck' : `${this.names.length} trucks`
    this.choose(this.picked ? this.chosen : this.names[0])
  }
}

try {
  const [stomp, { default: uPlot }] = await Promise.all([
    import('./vendor/stomp/index.js'), import('./vendor/uplot/uPlot.esm.js')
  ])
  new Page(stomp, uPlot) // eslint-disable-line no-new
} catch (error) {
  console.error(error)
  element('notice').textContent = MISSING
  element('notice').hidden = false
  element('state').hidden = true
}
