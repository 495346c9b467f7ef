#!/usr/bin/env node
import { run } from './run.js'

// Whoever reads our output may go before its end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
})

// Writes to terminals, files and pipes are synchronous on Linux: nothing is lost by ending here.
process.exit(await run(process.argv.slice(2)))
