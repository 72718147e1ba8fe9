// `node run.js CHROMIUM BEHAVIOUR URL`: one behaviour of the demo's page at URL, in a headless browser; a stack trace if
// it fails. What it needs done outside it asks for with a line, and goes on when it is answered with one.
'use strict'

const { createInterface } = require('node:readline')
const { chromium } = require('playwright-core')

const [executablePath, behaviour, url] = process.argv.slice(2)
const DEADLINE_MS = 100_000
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

process.on('unhandledRejection', (error) => {
  console.error(error)
  process.exit(1)
})
setTimeout(() => {
  console.error(`not shown within ${DEADLINE_MS} ms`)
  process.exit(1)
}, DEADLINE_MS + Number(process.env.DEMO_PICTURES_AFTER_S ?? 0) * 1000).unref()

async function ask (line) {
  console.log(line)
  await answers.next()
}

async function show () {
  const browser = await chromium.launch({ executablePath })
  const problems = []

  // A page of a context of its own. What it complains of fails the behaviour.
  async function newPage (options = {}, complaints = problems) {
    const page = await (await browser.newContext(options)).newPage()
    page.on('pageerror', (error) => complaints.push(error.stack))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    return page
  }

  async function openDemo (options) {
    const page = await newPage(options)
    await page.goto(url)
    await page.locator('#state[data-state="connected"]').waitFor()
    return page
  }

  await require(`./behaviours/${behaviour}`)({ ask, newPage, openDemo, url })
  await browser.close()
  if (problems.length > 0) throw new Error(`the page complained:\n${problems.join('\n')}`)
  console.log('shown')
  process.exit(0)
}

show()
