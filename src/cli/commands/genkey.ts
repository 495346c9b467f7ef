import { randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { wipe } from '../../bytes/octets.js'
import { countsNonces, integrityInfo } from '../../crypto/algorithms.js'
import { ConfigError } from '../../errors.js'
import { formatKeyText, KEY_LEN, keyFingerprint, parseKeyText } from '../../ike/prephase/key.js'
import { type ChildProposal, parseChildProposal } from '../../ike/proposals.js'
import { writeNewSecretFile } from '../new-secret-file.js'

interface Options {
  readonly output?: string
  readonly sa?: readonly string[]
}

export function genkeyCommand(): Command {
  return new Command('genkey')
    .summary('make the key that a pair of hosts shares')
    .description(
      'Makes the key that a pair of hosts shares: 32 octets from the system’s random generator. The same file goes to both hosts, over a safe way, and to no third one.',
    )
    .option('-o, --output <file>', 'write to a new file with mode 0600 (default: standard output)')
    .option(
      '--sa <spi:algorithms>',
      'make a file of manual SA keys instead; give it once for each SA (two a pair)',
      (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
    )
    .addHelpText(
      'after',
      `
Examples:
  sallyport genkey -o /etc/sallyport/dom0-b.key
  sallyport genkey -o manual.keys --sa 0x1001:aes128-sha256 --sa 0x1002:aes128-sha256
`,
    )
    .action((options: Options) => genkey(options))
}

function genkey(options: Options): void {
  const text = options.sa ? manualKeys(options.sa) : pairKey()
  if (options.output === undefined) {
    process.stdout.write(text)
    return
  }
  writeNewSecretFile(options.output, text)
  const fingerprint = options.sa ? '' : `, fingerprint ${fingerprintOf(text)}`
  process.stdout.write(`${options.output}: written${fingerprint}\n`)
}

function pairKey(): string {
  for (;;) {
    const key = randomBytes(KEY_LEN)
    const text = formatKeyText(key)
    wipe(key)
    // One key in 10^14 looks like a pattern to whoever loads it.
    if (isKey(text)) return text
  }
}

function isKey(text: string): boolean {
  try {
    wipe(parseKeyText(text))
    return true
  } catch {
    return false
  }
}

function fingerprintOf(text: string): string {
  const key = parseKeyText(text)
  const fingerprint = keyFingerprint(key)
  wipe(key)
  return fingerprint
}

function manualKeys(sas: readonly string[]): string {
  const lines = ['# sallyport manual SA keys: one pair of hosts, keep them secret']
  const seen = new Set<number>()
  for (const sa of sas) {
    const m = /^(0x[0-9a-fA-F]{1,8}|\d{1,10}):([a-z0-9-]{1,64})$/.exec(sa)
    const spi = m ? Number(m[1]) : 0
    if (!m || spi < 256 || spi > 0xffff_ffff)
      throw new ConfigError(
        `--sa ${sa}: expected SPI:ALGORITHMS with an SPI from 256, such as 0x1001:aes128-sha256`,
      )
    if (seen.has(spi))
      throw new ConfigError(`--sa ${sa}: the SPI is there already; every SA has one of its own`)
    seen.add(spi)
    lines.push(...keysOf(spi, m[2]!))
  }
  return `${lines.join('\n')}\n`
}

function keysOf(spi: number, algorithms: string): string[] {
  const proposal = manualProposal(algorithms)
  if (countsNonces(proposal.encryption?.id ?? 0, proposal.integrity))
    throw new ConfigError(
      `--sa ${algorithms}: a counter-mode cipher must not have a manual key (RFC 8221 section 4); expected e.g. aes128-sha256`,
    )
  const line = (kind: string, length: number): string[] =>
    length === 0 ? [] : [`0x${spi.toString(16)} ${kind} 0x${randomBytes(length).toString('hex')}`]
  return [
    ...line('encryption', (proposal.encryption?.keyBits ?? 0) / 8),
    ...line('integrity', integrityInfo(proposal.integrity)?.keyLength ?? 0),
  ]
}

/** ESP, or what is no ESP proposal and names an integrity algorithm alone: AH. */
function manualProposal(algorithms: string): ChildProposal {
  try {
    return parseChildProposal('ah', algorithms)
  } catch {
    return parseChildProposal('esp', algorithms)
  }
}
