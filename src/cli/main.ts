#!/usr/bin/env node
import { run } from './run.js'

// Whoever reads our output may go before its end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
})

const status = await run(process.argv.slice(2))
// A pipe takes 64 KiB at once, and what is left of a long answer would be lost by ending now.
await Promise.all([process.stdout, process.stderr].map(flushed))
process.exit(status)

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}
