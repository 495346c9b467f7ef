import { randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { wipe } from '../../bytes/octets.js'
import { readIdentityFile } from '../../daemon/config/identities.js'
import { KeyFileRefusal } from '../../daemon/config/key-file.js'
import { ConfigError } from '../../errors.js'
import {
  forgetIdentity,
  formatIdentityFile,
  formatPublicKey,
  IDENTITY_SEED_LEN,
  identityFingerprint,
  pemOf,
  signingKey,
} from '../../ike/host-identity.js'
import { parseIdentity } from '../../ike/identity.js'
import { writeNewSecretFile } from '../new-secret-file.js'

export function identityCommand(): Command {
  const make = new Command('make')
    .summary('make this host’s key pair')
    .description(
      'Makes this host’s key pair: one secret file that never leaves the host. Peers are given its public key, which "identity show" prints.',
    )
    .requiredOption('-o, --output <file>', 'write to a new file with mode 0600')
    .action((options: { output: string }) => {
      const seed = randomBytes(IDENTITY_SEED_LEN)
      writeNewSecretFile(options.output, formatIdentityFile(seed))
      wipe(seed)
      process.stdout.write(`${options.output}: written\n`)
    })
  const show = new Command('show')
    .summary('print the public key of an identity file')
    .description(
      'Prints the public key of an identity file, as a line for the public_keys file of peers when --id names the host.',
    )
    .argument('<file>', 'identity file')
    .option('--id <identity>', 'what this host calls itself (host.id)')
    .option('--fingerprint', 'print the fingerprint alone, to compare over another way')
    .option('--pem', 'print the signing key alone in PEM, for IKE implementations of others')
    .action(printPublicKey)
  return new Command('identity')
    .summary('make or show this host’s own key pair')
    .description(
      'A host’s own key pair, instead of one secret for every pair of hosts: each peer knows the public key of the others.',
    )
    .addHelpText(
      'after',
      `
Examples:
  sallyport identity make -o /etc/sallyport/identity.key
  sallyport identity show /etc/sallyport/identity.key --id dom0-a.example >> public_keys
  sallyport identity show /etc/sallyport/identity.key --pem > dom0-a.pem
`,
    )
    .addCommand(make)
    .addCommand(show)
}

interface ShowOptions {
  readonly id?: string
  readonly fingerprint?: boolean
  readonly pem?: boolean
}

function printPublicKey(file: string, options: ShowOptions): void {
  if (options.id !== undefined && !parseIdentity(options.id))
    throw new ConfigError(`--id ${options.id}: expected an identity such as dom0-a.example`)
  let publicKey: Uint8Array
  try {
    const identity = readIdentityFile(file)
    ;({ publicKey } = identity)
    forgetIdentity(identity)
  } catch (error) {
    if (error instanceof KeyFileRefusal)
      throw new ConfigError(error.message.replaceAll('sallyport genkey -o', 'sallyport identity make -o'))
    throw error
  }
  if (options.fingerprint) process.stdout.write(`${identityFingerprint(publicKey)}\n`)
  else if (options.pem) process.stdout.write(pemOf(signingKey(publicKey)))
  else
    process.stdout.write(`${options.id === undefined ? '' : `${options.id} `}${formatPublicKey(publicKey)}\n`)
}
