import { Command } from 'commander'
import { loadConfig, wipeConfig } from '../../daemon/config/load.js'
import { ControlClient } from '../../daemon/control/client.js'
import { probeSocket } from '../../daemon/control/probe.js'
import { ConfigError, ControlError, SystemError } from '../../errors.js'
import { type ControlOptions, controlPath, withControlOptions } from '../control-options.js'

/** A daemon has that long to tell its peers and to take its routes away. */
const STOP_MS = 20_000

interface Options extends ControlOptions {
  readonly leftovers?: boolean
}

export function downCommand(): Command {
  const command = new Command('down')
    .summary('stop the daemon')
    .description(
      'Stops the daemon and waits for its end: peers are told, SAs deleted, routes and rules removed. What a killed daemon left behind keeps protected traffic shut until the next start; --leftovers removes it.',
    )
    .option('--leftovers', 'no daemon runs: remove the fail-closed rules that a killed one left (needs -c)')
    .addHelpText(
      'after',
      `
Examples:
  sallyport down
  sallyport down -c /etc/sallyport/sallyport.yaml
  sallyport down --leftovers -c /etc/sallyport/sallyport.yaml
`,
    )
    .action((options: Options) => (options.leftovers ? removeLeftovers(options) : stopDaemon(options)))
  return withControlOptions(command)
}

async function stopDaemon(options: Options): Promise<void> {
  const client = await ControlClient.connect(controlPath(options))
  try {
    await client.request('sallyport-shutdown')
    await client.closed(STOP_MS)
  } finally {
    client.close()
  }
}

/** Traffic that was protected may pass in the clear from then on: it is asked for by name only. */
async function removeLeftovers(options: Options): Promise<void> {
  if (options.config === undefined) throw new ConfigError('--leftovers needs the configuration, -c FILE')
  if ((await probeSocket(controlPath(options))) === 'alive')
    throw new ControlError('a daemon is running; stop it with: sallyport down')
  const config = loadConfig(options.config)
  try {
    const network = await import('../../daemon/host-network.js')
    const failures: string[] = []
    const removed = network.removeLeftovers(config, (what, error) =>
      failures.push(`${what}: ${String(error)}`),
    )
    process.stdout.write(
      removed.length === 0 ? 'nothing was left\n' : removed.map((w) => `removed: ${w}\n`).join(''),
    )
    if (failures.length > 0) throw new SystemError('netlink', 0, `cannot remove ${failures.join('; ')}`)
  } finally {
    wipeConfig(config)
  }
}
