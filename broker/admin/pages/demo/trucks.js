// What is known of each truck: its last readings and the worker's averages.

export const KEPT_S = 180
const TRUCKS_MAX = 1000

export const celsius = (value, digits) => `${value.toFixed(digits).replace('-', '−')} °C`

export class Trucks {
  constructor () {
    this.byName = new Map()
  }

  names () {
    return [...this.byName.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  }

  // Takes a message; true if it was a reading or an average.
  receive (message, nowS) {
    if (message.kind !== 'temperature' && message.kind !== 'average') return false
    const value = Number(message.body)
    if (message.body.trim() === '' || !Number.isFinite(value)) return false
    let truck = this.byName.get(message.truck)
    if (truck === undefined) {
      if (this.byName.size >= TRUCKS_MAX) return false
      truck = new Truck()
      this.byName.set(message.truck, truck)
    }
    truck.add(message.kind, value, nowS)
    return true
  }
}

// Readings and averages on one time axis, as uPlot wants them: [seconds, readings, averages], null where there is none.
export class Truck {
  constructor () {
    this.data = [[], [], []]
    this.reading = null
    this.average = null
    this.changed = false
  }

  add (kind, value, nowS) {
    const column = kind === 'temperature' ? 1 : 2
    if (column === 1) this.reading = value
    else this.average = value
    const [seconds, , averages] = this.data
    const last = seconds.length - 1
    // An average belongs to the reading it came from, a few milliseconds before.
    if (column === 2 && last >= 0 && averages[last] === null && nowS - seconds[last] < 1) {
      averages[last] = value
    } else {
      seconds.push(Math.max(nowS, seconds[last] ?? 0))
      this.data[column].push(value)
      this.data[3 - column].push(null)
    }
    while (seconds[0] < nowS - KEPT_S) this.data.forEach((values) => values.shift())
    this.changed = true
  }
}
