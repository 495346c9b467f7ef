import { Command } from 'commander'
import { loadConfig, wipeConfig } from '../../daemon/config/load.js'
import { ControlClient } from '../../daemon/control/client.js'
import { probeSocket } from '../../daemon/control/probe.js'
import { ConfigError, ControlError, SystemError } from '../../errors.js'
import { type ControlOptions, controlPath, withControlOptions } from '../control-options.js'

/** A daemon has that long to tell its peers and to take its routes away. */
const STOP_MS = 20_000

export function downCommand(): Command {
  return withControlOptions(
    new Command('down')
      .summary('stop the daemon')
      .description(
        'Stops the daemon and waits for its end: peers are told, SAs deleted, routes and rules removed.',
      ),
  )
    .addHelpText(
      'after',
      '\nExamples:\n  sallyport down\n  sallyport down -c /etc/sallyport/sallyport.yaml\n',
    )
    .action(async (options: ControlOptions & { leftovers?: boolean }) => {
      if (options.leftovers) return removeLeft(options)
      const client = await ControlClient.connect(controlPath(options))
      try {
        await client.request('sallyport-shutdown')
        await client.closed(STOP_MS)
      } finally {
        client.close()
      }
    })
}

/** Traffic that was protected may pass in the clear from then on: it is asked for by name only. */
async function removeLeft(options: ControlOptions): Promise<void> {
  if (options.config === undefined) throw new ConfigError('--leftovers needs the configuration, -c FILE')
  const state = await probeSocket(controlPath(options))
  if (state === 'alive') throw new ControlError('a daemon is running; stop it with: sallyport down')
  const config = loadConfig(options.config)
  try {
    const { removeLeftovers } = await import('../../daemon/host-network.js')
    const failures: string[] = []
    const removed = removeLeftovers(config, (what, error) => failures.push(`${what}: ${String(error)}`))
    for (const what of removed) process.stdout.write(`removed: ${what}\n`)
    if (removed.length === 0) process.stdout.write('nothing was left\n')
    if (failures.length > 0) throw new SystemError('netlink', 0, `cannot remove ${failures.join('; ')}`)
  } finally {
    wipeConfig(config)
  }
}
