import { CommanderError } from 'commander'
import { ConfigError, SallyportError } from '../errors.js'

/** What the process ends with. */
export const EXIT = { OK: 0, RUNTIME: 1, USAGE: 2 } as const

/**
 * Tells of a failure on stderr, one line a fault (`sallyport: what, where, what to do`), and gives the exit status. A
 * fault of our own, which no user can mend, keeps its stack for the report.
 */
export function reportFailure(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE
  if (error instanceof SallyportError) {
    for (const line of error.message.split('\n')) process.stderr.write(`sallyport: ${line}\n`)
    if (process.env.SALLYPORT_DEBUG !== undefined) process.stderr.write(`${error.stack}\n`)
    return error instanceof ConfigError ? EXIT.USAGE : EXIT.RUNTIME
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`sallyport: internal error, please report it: ${text}\n`)
  return EXIT.RUNTIME
}
