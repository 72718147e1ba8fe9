// The chosen truck's readings and the worker's averages (uPlot).

import { KEPT_S, celsius } from './trucks.js'

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const HEIGHT_MIN = 200
const SHOWN_S_MIN = 60
const SPAN_MIN_C = 3

export class Chart {
  constructor (uPlot, element) {
    this.uPlot = uPlot
    this.element = element
    this.plot = null
    this.data = [[], [], []]
    new ResizeObserver(() => this.resize()).observe(element)
    // Its colours are drawn, so they don't follow by themselves.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw())
    this.draw()
  }

  show (name, truck, nowS) {
    this.data = truck.data
    this.plot.setData(truck.data, false)
    this.plot.setScale('x', { min: Math.max(nowS - KEPT_S, Math.min(truck.data[0][0] ?? nowS, nowS - SHOWN_S_MIN)), max: nowS })
    const said = (value) => value === null ? 'unknown' : celsius(value, 1)
    this.element.setAttribute('aria-label',
      `Temperature of ${name} in the last three minutes; now ${said(truck.reading)}, on average ${said(truck.average)}`)
  }

  size () {
    return { width: this.element.clientWidth, height: Math.max(this.element.clientHeight, HEIGHT_MIN) }
  }

  resize () {
    this.plot.setSize(this.size())
  }

  draw () {
    const style = getComputedStyle(document.documentElement)
    const color = (name) => style.getPropertyValue(name).trim()
    const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: `12px ${style.fontFamily}` }
    this.plot?.destroy()
    this.plot = new this.uPlot({
      ...this.size(),
      padding: [8, 30, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: true },
        y: { range: (_, low, high) => this.range(low, high) }
      },
      axes: [
        { ...axis, space: 90, size: 30, values: (_, splits) => splits.map((seconds) => TIME.format(seconds * 1000)) },
        { ...axis, size: 52, values: (_, splits) => splits.map((celsius) => `${celsius}°`.replace('-', '−')) }
      ],
      series: [
        {},
        { label: 'reading', stroke: color('--mqtt'), width: 1.5, spanGaps: true, points: { show: false } },
        { label: 'average', stroke: color('--amqp'), width: 2.5, spanGaps: true, points: { show: false } }
      ]
    }, this.data, this.element)
  }

  // A quiet truck is a quiet line.
  range (low, high) {
    if (low === null) return [0, 10]
    const more = Math.max(SPAN_MIN_C - (high - low), 0) / 2 + 0.3
    return [low - more, high + more]
  }
}
