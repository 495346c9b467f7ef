import { Command } from 'commander'
import { loadConfig } from '../../daemon/config/load.js'
import { packageVersion } from '../version.js'

export function upCommand(): Command {
  return new Command('up')
    .summary('run the gateway in the foreground')
    .description(
      'Runs the gateway in the foreground until SIGTERM, SIGINT or `sallyport down`. It makes the TUN device, routes and fail-closed rules, and removes them at its end. Needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE.',
    )
    .requiredOption('-c, --config <file>', 'configuration file')
    .addHelpText(
      'after',
      `
Signals: SIGTERM and SIGINT stop cleanly; a second one does not wait for peers.

Example:
  sallyport up -c /etc/sallyport/sallyport.yaml
`,
    )
    .action(async (options: { config: string }) => {
      const config = loadConfig(options.config)
      // The daemon brings native libraries with it, which no other command needs.
      const { runDaemon } = await import('../../daemon/daemon.js')
      process.exitCode = await runDaemon(config, { version: packageVersion() })
    })
}
