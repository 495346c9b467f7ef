import { Command, InvalidArgumentError, Option } from 'commander'
import type { EngineName } from '../../crypto/types.js'
import { REPLAY_WINDOW_MAX } from '../../ipsec/replay-window.js'
import type { ReplaySummary } from '../../replay/replay-file.js'
import { facts, formatOctets, formatSpi, table } from '../output.js'

interface Options {
  readonly keys: string
  readonly output?: string
  readonly engine: EngineName | 'auto'
  readonly outbound?: boolean
  readonly replayWindow?: number
  readonly json?: boolean
}

export function replayCommand(): Command {
  return new Command('replay')
    .summary('play a capture through the data path, offline')
    .description(
      'Plays a pcap or pcapng capture through the code that the gateway runs, with the keys of a key log: every ESP and AH packet gets the verdict that it would get from a gateway, and those that it accepts are written as plain packets. Needs no privileges.',
    )
    .argument(
      '<capture>',
      'pcap or pcapng file (Ethernet with VLAN tags, raw IP, Linux cooked, BSD loopback)',
    )
    .requiredOption(
      '-k, --keys <path>',
      'keys: a file like Wireshark’s esp_sa or our sallyport_sa, or the directory of a key log',
    )
    .option(
      '-o, --output <file>',
      'write what comes out, as raw IP (pcap when the name ends in .pcap, else pcapng)',
    )
    .option(
      '--outbound',
      'protect again what was opened, with the same numbers, and what the capture has in plain; -o gets the protected packets',
    )
    .addOption(
      new Option('--engine <name>', 'crypto engine')
        .choices(['auto', 'ipsec-mb', 'openssl', 'noble'])
        .default('auto'),
    )
    .option('--replay-window <packets>', 'instead of the windows that the keys come with; 0 = none', windowOf)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
A key log is what a gateway writes with key_log in its configuration. Keep what this command writes as secret as the keys.

Examples:
  sallyport replay wire.pcapng --keys /root/keys -o inner.pcapng
  sallyport replay wire.pcap --keys esp_sa --engine noble --json
`,
    )
    .action(async (capture: string, options: Options) => {
      // Brings native libraries with it, which no other command needs.
      const { replayFile } = await import('../../replay/replay-file.js')
      const { keys, output, engine, outbound, replayWindow } = options
      const { summary, warnings, broken } = replayFile({
        capture,
        keys,
        engine,
        outbound: outbound ?? false,
        ...(output !== undefined && { output }),
        ...(replayWindow !== undefined && { replayWindow }),
      })
      for (const warning of warnings) process.stderr.write(`sallyport: ${warning}\n`)
      process.stdout.write(options.json ? `${JSON.stringify(summary, null, 2)}\n` : print(summary))
      if (broken) throw broken
    })
}

function windowOf(text: string): number {
  const packets = Number(text)
  if (!/^\d{1,7}$/.test(text) || packets % 32 !== 0 || packets > REPLAY_WINDOW_MAX)
    throw new InvalidArgumentError(`expected a multiple of 32 up to ${REPLAY_WINDOW_MAX}, or 0.`)
  return packets
}

function print(s: ReplaySummary): string {
  const rate = `${s.seconds.toFixed(3)} s, ${Math.round(s.packetsPerSecond)} packets/s, ${s.gbitPerSecond.toFixed(3)} Gbit/s`
  const rows: [string, string][] = [
    ['capture', `${s.capture} (${s.format}): ${s.packets} packets, ${formatOctets(s.octets)}`],
    ['keys', s.keys],
    ['engine', s.engine],
    [
      'came out',
      `${s.accepted} packets, ${formatOctets(s.acceptedOctets)}${s.output === undefined ? '' : `, in ${s.output}`}`,
    ],
  ]
  if (s.reassembled > 0) rows.push(['reassembled', `${s.reassembled} packets`])
  if (s.outbound)
    rows.push([
      'protected',
      `${s.outbound.resealed} again, ${s.outbound.identical} of them as captured; ${s.outbound.plain} from plain`,
    ])
  rows.push(['took', rate])
  const verdicts = [
    ['accepted', String(s.accepted)],
    ...Object.entries(s.refused).map(([k, n]) => [k, String(n)]),
  ]
  const parts = [facts(rows), table(['VERDICT', 'PACKETS'], verdicts)]
  if (s.sas.length > 0)
    parts.push(
      table(
        ['SA', 'SPI', 'FROM', 'TO', 'PACKETS', 'OCTETS', 'REFUSED'],
        s.sas.map((sa) => [
          `${sa.protocol.toUpperCase()} ${sa.mode}`,
          formatSpi(sa.spi),
          sa.source,
          sa.destination,
          String(sa.packets),
          formatOctets(sa.octets),
          String(sa.errors),
        ]),
      ),
    )
  return `${parts.join('\n\n')}\n`
}
