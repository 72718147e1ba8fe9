// axe-core has nothing to say, in the light and in the dark, wide and narrow; the keyboard reaches everything.
'use strict'

const assert = require('node:assert')

const AXE = require.resolve('axe-core/axe.min.js')

module.exports = async ({ openDemo }) => {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      // Only axe itself is kept out by the page's policy.
      const page = await openDemo({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true })
      await page.locator('#tiles li').nth(49).waitFor()
      await page.addScriptTag({ path: AXE })
      const { violations } = await page.evaluate(() => window.axe.run())
      const said = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))
      assert.deepStrictEqual(said, [], `${colorScheme}, ${width} px`)
      await page.context().close()
    }
  }
  await useKeyboard(await openDemo())
}

// One stop of the Tab key is enough for all trucks.
async function useKeyboard (page) {
  await page.locator('#tiles li').nth(49).waitFor()
  const focused = () => page.evaluate(() => document.activeElement.textContent)
  await page.keyboard.press('Tab')
  assert.match(await focused(), /Skip/)
  const stops = []
  for (let stop = 0; stop < 12 && !stops.some((text) => text.startsWith('truck-01')); stop++) {
    await page.keyboard.press('Tab')
    stops.push(await focused())
  }
  assert.ok(stops.length < 8, stops)
  await page.keyboard.press('ArrowRight')
  await page.getByRole('heading', { name: 'Talk to truck-02' }).waitFor()
  await page.keyboard.press('End')
  await page.getByRole('heading', { name: 'Talk to truck-50' }).waitFor()
}
