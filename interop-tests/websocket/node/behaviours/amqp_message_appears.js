// What AMQP publishes is among the page's messages, and named so.
'use strict'

const assert = require('node:assert')

module.exports = async ({ ask, openDemo }) => {
  const page = await openDemo()
  const text = `from the depot ${process.pid}`
  await ask(`publish fleet.depot.note ${text}`)
  const row = page.locator('#messages li', { hasText: text })
  await row.waitFor()
  assert.strictEqual(await row.locator('.protocol').textContent(), 'AMQP')
  assert.strictEqual(await row.locator('.address').textContent(), 'fleet.depot.note')
}
