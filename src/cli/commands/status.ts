import { Command } from 'commander'
import { ControlClient } from '../../daemon/control/client.js'
import { textOf } from '../../daemon/control/vici-message.js'
import type { GatewayStatus } from '../../daemon/status.js'
import { ControlError } from '../../errors.js'
import { type ControlOptions, controlPath, withControlOptions } from '../control-options.js'
import { formatStatus } from '../status-text.js'

export function statusCommand(): Command {
  return withControlOptions(
    new Command('status')
      .summary('show peers, SAs, traffic and drops')
      .description(
        'Shows what a running daemon does: its peers and what became of the last negotiation, every SA with SPI, algorithms, traffic and age, the offloads in use, and what was dropped and why.',
      ),
  )
    .option('--json', 'print everything as JSON')
    .addHelpText('after', '\nExamples:\n  sallyport status\n  sallyport status --json | jq .drops\n')
    .action(async (options: ControlOptions & { json?: boolean }) => {
      const status = await fetchStatus(controlPath(options))
      process.stdout.write(
        options.json ? `${JSON.stringify(status, null, 2)}\n` : `${formatStatus(status)}\n`,
      )
    })
}

/** Asks the daemon behind a control socket. @throws ControlError */
export async function fetchStatus(path: string): Promise<GatewayStatus> {
  const client = await ControlClient.connect(path)
  try {
    return await statusOf(client)
  } finally {
    client.close()
  }
}

/** Asks over a connection that stays open. @throws ControlError */
export async function statusOf(client: ControlClient): Promise<GatewayStatus> {
  const events = await client.stream('sallyport-status', 'sallyport-status')
  try {
    return JSON.parse(events.map((event) => textOf(event, 'piece') ?? '').join('')) as GatewayStatus
  } catch {
    throw new ControlError('the daemon’s status is no JSON')
  }
}
