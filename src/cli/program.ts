import { Command } from 'commander'
import { checkCommand } from './commands/check.js'
import { downCommand } from './commands/down.js'
import { genkeyCommand } from './commands/genkey.js'
import { identityCommand } from './commands/identity.js'
import { replayCommand } from './commands/replay.js'
import { statusCommand } from './commands/status.js'
import { upCommand } from './commands/up.js'
import { packageVersion } from './version.js'

/** The `sallyport` command. Usage errors are thrown as CommanderError, everything else as it comes. */
export function buildProgram(): Command {
  const program = new Command('sallyport')
    .description('Userspace IPsec gateway for virtual machine migration between Xen hosts')
    .version(packageVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showHelpAfterError('(sallyport --help shows how)')
    .addHelpText(
      'after',
      `
Exit status: 0 good, 1 failed while running, 2 wrong usage or configuration.

Examples:
  sallyport genkey -o dom0-b.key
  sallyport check -c sallyport.yaml
  sallyport up -c sallyport.yaml
  sallyport status
  sallyport down
`,
    )
  for (const command of [
    upCommand(),
    downCommand(),
    statusCommand(),
    checkCommand(),
    genkeyCommand(),
    identityCommand(),
    replayCommand(),
  ])
    program.addCommand(command.helpOption('-h, --help', 'show help'))
  for (const command of withSubcommands(program))
    command
      .exitOverride()
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'sallyport: ')) })
  return program
}

const withSubcommands = (command: Command): Command[] => [
  command,
  ...command.commands.flatMap((c) => withSubcommands(c as Command)),
]
