import type { Command } from 'commander'
import { controlPathOf } from '../daemon/config/load.js'
import { DEFAULT_CONTROL } from '../daemon/config/schema.js'

export interface ControlOptions {
  readonly socket?: string
  readonly config?: string
}

/** Options of a command that talks to a running daemon. */
export function withControlOptions(command: Command): Command {
  return command
    .option('-s, --socket <path>', `control socket of the daemon (default: ${DEFAULT_CONTROL})`)
    .option('-c, --config <file>', 'take the control socket from this configuration')
}

export function controlPath(options: ControlOptions): string {
  return options.socket ?? (options.config === undefined ? DEFAULT_CONTROL : controlPathOf(options.config))
}
