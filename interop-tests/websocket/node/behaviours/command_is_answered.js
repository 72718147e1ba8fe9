// A command typed into the page reaches its device over MQTT, and the page shows the answer and how long it took.
'use strict'

const assert = require('node:assert')

module.exports = async ({ openDemo }) => {
  const page = await openDemo()
  await page.getByRole('button', { name: 'truck-07' }).click()
  await page.getByRole('heading', { name: 'Talk to truck-07' }).waitFor()
  await command(page, 'set 5', 'set to 5.0 °C')
  await command(page, 'Grüße, 100 %: ok', 'Grüße, 100 %: ok')
  for (const [protocol, address] of [['STOMP', 'fleet.truck-07.command'], ['MQTT', 'fleet.truck-07.echo']]) {
    const row = page.locator('#messages li', { hasText: address }).first()
    await row.waitFor()
    assert.strictEqual(await row.locator('.protocol').textContent(), protocol)
  }
}

async function command (page, text, echo) {
  await page.getByLabel('Command, published over STOMP').fill(text)
  await page.keyboard.press('Enter')
  await page.locator('#answer', { hasText: echo }).waitFor()
  const answer = await page.locator('#answer').textContent()
  const milliseconds = /^truck-07 answers “.*” after ([0-9.]+) ms$/.exec(answer)?.[1]
  assert.ok(Number(milliseconds) > 0, answer)
}
