// Sends a command to the chosen truck and shows its answer, with the time of the round trip.

const WAITED_MS = 5000

export class Command {
  constructor (section, feed) {
    this.feed = feed
    this.truck = null
    this.waiting = null
    this.count = 0
    this.session = crypto.getRandomValues(new Uint32Array(1))[0].toString(36)
    this.title = section.querySelector('#command-truck')
    this.text = section.querySelector('#command-text')
    this.button = section.querySelector('button')
    this.answer = section.querySelector('#answer')
    section.querySelector('form').addEventListener('submit', (event) => {
      event.preventDefault()
      this.send()
    })
  }

  choose (truck) {
    this.truck = truck
    this.title.textContent = truck
    this.update()
  }

  // Whether one can send.
  update () {
    this.button.disabled = this.truck === null || !this.feed.connected
  }

  send () {
    if (this.button.disabled) return
    clearTimeout(this.waiting?.timer)
    const id = `${this.session}-${++this.count}`
    const truck = this.truck
    const timer = setTimeout(() => this.giveUp(id), WAITED_MS)
    this.waiting = { id, truck, timer, startedMs: performance.now() }
    this.answer.textContent = `Sent to ${truck} …`
    this.feed.sendCommand(truck, this.text.value, id)
  }

  receive (message) {
    if (this.waiting === null || message.correlationId !== this.waiting.id || message.kind === 'command') return
    const { truck, timer, startedMs } = this.waiting
    clearTimeout(timer)
    this.waiting = null
    const took = document.createElement('strong')
    took.textContent = `${(performance.now() - startedMs).toFixed(1)} ms`
    this.answer.replaceChildren(`${truck} answers “${message.body}” after `, took)
  }

  giveUp (id) {
    if (this.waiting?.id !== id) return
    this.answer.textContent = `${this.waiting.truck} did not answer within ${WAITED_MS / 1000} s.`
    this.waiting = null
  }
}
