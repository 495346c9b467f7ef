import { Command } from 'commander'
import { ControlClient } from '../../daemon/control/client.js'
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
    .action(async (options: ControlOptions) => {
      const client = await ControlClient.connect(controlPath(options))
      try {
        await client.request('sallyport-shutdown')
        await client.closed(STOP_MS)
      } finally {
        client.close()
      }
    })
}
