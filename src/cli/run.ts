import { reportFailure } from './exit.js'
import { buildProgram } from './program.js'

/** Runs one command line (without node and script) and gives its exit status. Failures are told on stderr. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    process.exitCode = 0
    await buildProgram().parseAsync([...args], { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return reportFailure(error)
  }
}
