// The connection breaks: the page says so, comes back by itself, and shows what is new.
'use strict'

module.exports = async ({ newPage, url, ask }) => {
  const page = await newPage()
  const opened = []
  await page.routeWebSocket(/\/ws$/, (socket) => {
    opened.push(socket)
    socket.connectToServer()
  })
  await page.goto(url)
  const state = (name) => page.locator(`#state[data-state="${name}"]`).waitFor()
  await state('connected')
  await opened[0].close({ code: 1001 })
  await state('lost')
  await state('connected')
  const text = `after the break ${process.pid}`
  await ask(`publish fleet.depot.note ${text}`)
  await page.locator('#messages li', { hasText: text }).waitFor()
}
