import { renameSync, writeFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { run } from '../../../src/cli/run.js'

// The daemon, which tells of its memory when it is asked from outside: `node --expose-gc observed.js FILE up -c CONFIG`. After
// SIGUSR2 it writes what is in use behind a full collection to FILE, in octets. The product knows nothing of it.

const [file, ...args] = process.argv.slice(2)
const { gc } = globalThis as { gc?: () => void }
if (file === undefined || gc === undefined)
  throw new Error('usage: node --expose-gc observed.js FILE up -c CONFIG')

process.on('SIGUSR2', () => {
  void (async () => {
    gc()
    // Native memory is given back by finalizers, which run between turns of the event loop.
    await setImmediate()
    gc()
    const { heapUsed, external } = process.memoryUsage()
    writeFileSync(`${file}.new`, String(heapUsed + external))
    renameSync(`${file}.new`, file)
  })()
})

process.exit(await run(args))
