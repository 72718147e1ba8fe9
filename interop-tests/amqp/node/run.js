// `node run.js BEHAVIOUR URL`: one behaviour, shown by amqplib; ends with a stack trace if it fails.
'use strict'

const [behaviour, url] = process.argv.slice(2)

process.on('unhandledRejection', (error) => {
  console.error(error)
  process.exit(1)
})

require(`./behaviours/${behaviour}`)(url).then(() => {
  console.log('shown')
  process.exit(0)
})
