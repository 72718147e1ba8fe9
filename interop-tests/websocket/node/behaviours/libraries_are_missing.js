// On a machine that had no npm, the page says in one line what to install.
'use strict'

const assert = require('node:assert')

module.exports = async ({ newPage, url }) => {
  const expected = []
  const page = await newPage({}, expected)
  await page.route('**/vendor/**', (route) => route.fulfill({ status: 404, body: '' }))
  await page.goto(url)
  const notice = page.getByRole('alert')
  await notice.waitFor()
  assert.match(await notice.textContent(), /apt-get install nodejs npm, then make build/)
}
