// A tile for each truck: name, last temperature, sparkline. One stop for the Tab key; arrows move among them.

import { drawSpark } from './spark.js'

const SHOWN = 60
const SPAN_MIN_C = 1.5
const TREND_C = 0.7
const SVG = 'http://www.w3.org/2000/svg'

export class Tiles {
  constructor (list, choose) {
    this.list = list
    this.choose = choose
    this.byName = new Map()
    list.addEventListener('keydown', (event) => this.move(event))
  }

  // `names` in order; the tile of `chosen` is pressed.
  update (names, trucks, chosen) {
    if (names.length !== this.byName.size) this.place(names)
    for (const [name, tile] of this.byName) {
      const truck = trucks.get(name)
      if (truck.changed) {
        truck.changed = false
        tile.show(truck)
      }
      tile.press(name === chosen)
    }
  }

  place (names) {
    names.forEach((name, number) => {
      if (this.byName.has(name)) return
      const tile = new Tile(name, () => this.choose(name))
      this.byName.set(name, tile)
      // The others stay where they are: an element that is moved loses the focus.
      this.list.insertBefore(tile.item, this.list.children[number] ?? null)
    })
  }

  move (event) {
    const buttons = [...this.list.querySelectorAll('button')]
    const at = buttons.indexOf(document.activeElement)
    if (at < 0) return
    const top = buttons[0].getBoundingClientRect().top
    const columns = buttons.filter((button) => button.getBoundingClientRect().top === top).length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: buttons.length - 1 - at }
    const next = buttons[at + steps[event.key]]
    if (next === undefined) return
    event.preventDefault()
    next.focus()
    next.click()
  }
}

class Tile {
  constructor (name, choose) {
    this.item = document.createElement('li')
    this.button = make('button', 'tile')
    this.button.type = 'button'
    this.trend = make('span', 'trend')
    this.value = make('span', 'value')
    this.number = document.createTextNode('–')
    const unit = make('small', '')
    unit.textContent = ' °C'
    this.value.append(this.number, unit, this.trend)
    const label = make('span', 'name')
    label.textContent = name
    const svg = document.createElementNS(SVG, 'svg')
    svg.setAttribute('class', 'spark')
    svg.setAttribute('viewBox', '0 0 60 20')
    svg.setAttribute('preserveAspectRatio', 'none')
    svg.setAttribute('aria-hidden', 'true')
    this.line = svg.appendChild(document.createElementNS(SVG, 'polyline'))
    this.button.append(label, this.value, svg)
    this.button.addEventListener('click', choose)
    this.item.append(this.button)
    this.press(false)
  }

  show (truck) {
    if (truck.reading !== null) this.number.data = truck.reading.toFixed(1).replace('-', '−')
    const away = truck.reading !== null && truck.average !== null ? truck.reading - truck.average : 0
    this.trend.textContent = away > TREND_C ? '▲' : away < -TREND_C ? '▼' : ''
    this.trend.title = away > TREND_C ? 'warming' : away < -TREND_C ? 'cooling' : ''
    drawSpark(this.line, truck.data[1].filter((value) => value !== null), SHOWN, SPAN_MIN_C)
  }

  press (pressed) {
    this.button.setAttribute('aria-pressed', pressed)
    this.button.tabIndex = pressed ? 0 : -1
  }
}

function make (name, className) {
  const element = document.createElement(name)
  if (className) element.className = className
  return element
}
