// All is there and nothing sticks out, wide and narrow, in the light and in the dark. Takes the pictures:
// DEMO_PICTURES is the folder for them, DEMO_PICTURES_AFTER_S how long the page collects readings before.
'use strict'

const assert = require('node:assert')
const { join } = require('node:path')

const SIZES = [[1280, 1340], [390, 844]]

module.exports = async ({ openDemo }) => {
  const pages = await Promise.all(SIZES.map(([width, height]) => openDemo({ viewport: { width, height } })))
  await Promise.all(pages.map(check))
  const waitHalf = () => pages[0].waitForTimeout(Number(process.env.DEMO_PICTURES_AFTER_S ?? 0) * 500)
  await waitHalf()
  await command(pages[0])
  await waitHalf()
  for (const page of pages) {
    await command(page)
    await page.evaluate(() => document.activeElement.blur())
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      const name = `demo-${page.viewportSize().width}-${colorScheme}.png`
      await page.screenshot({ path: join(process.env.DEMO_PICTURES ?? '.', name) })
    }
  }
}

// A truck with wine gets milk to carry: its temperature falls.
async function command (page) {
  await page.locator('#truck').selectOption('truck-13')
  await page.getByLabel('Command, published over STOMP').fill('set 5')
  await page.keyboard.press('Enter')
  await page.locator('#answer', { hasText: 'set to 5.0 °C' }).waitFor()
}

async function check (page) {
  await page.locator('#tiles li').nth(49).waitFor()
  assert.strictEqual(await page.locator('#tiles li').count(), 50)
  for (const protocol of ['mqtt', 'amqp', 'stomp']) {
    await page.locator(`.rate[data-protocol="${protocol}"] dd`, { hasText: /^[1-9]/ }).first().waitFor()
  }
  await page.getByRole('img', { name: /Temperature of truck-01 .* now .* °C, on average .* °C/ }).waitFor()
  const [drawn, outside] = await page.evaluate(() => {
    const canvas = document.querySelector('#chart canvas')
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    return [pixels.some((value) => value !== 0), document.documentElement.scrollWidth - window.innerWidth]
  })
  assert.ok(drawn, 'the chart is empty')
  assert.ok(outside <= 0, `${outside} px stick out`)
}
