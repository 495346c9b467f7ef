import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import Table from 'cli-table3'
import { Command, InvalidArgumentError } from 'commander'
import { plain, sallyport, strongswan, wireguardGo } from './contenders.js'
import { benchEngines } from './engines.js'
import { benchPipeline } from './pipeline.js'
import { throughput } from './rig.js'

// `npm run bench`: the engines alone, then one TCP stream through whole gateways, next to others in the same run.

const whole = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('expected a whole number above zero')
  return n
}

const options = new Command('bench')
  .description('Measures the crypto engines and whole gateways')
  .option('--rounds <n>', 'interleaved rounds of the rig; medians are printed', whole, 3)
  .option('--seconds <n>', 'length of one stream', whole, 4)
  .option('--mtu <n>', 'MTU of the underlay', whole, 1500)
  .option('--skip-engines', 'only the rig')
  .option('--skip-rig', 'only the engines')
  .option('--json <file>', 'write all figures to a file')
  .parse()
  .opts<{
    rounds: number
    seconds: number
    mtu: number
    skipEngines?: boolean
    skipRig?: boolean
    json?: string
  }>()

const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Linux ${release()}, Node ${process.version}`
console.log(machine)

const engines = options.skipEngines ? [] : benchEngines()
if (engines.length > 0) {
  const table = new Table({ head: ['engine', 'algorithm', 'octets', 'ns a packet', 'Gbit/s'] })
  for (const r of engines)
    table.push([r.engine, r.algorithm, r.octets, r.nanoseconds.toFixed(0), r.gbits.toFixed(2)])
  console.log(table.toString())
}

const pipeline = options.skipEngines ? [] : benchPipeline(400_000)
if (pipeline.length > 0) {
  const table = new Table({ head: ['stage (AES-128-GCM, 1400 octets, no I/O)', 'ns a packet'] })
  for (const r of pipeline) table.push([r.stage, r.nanoseconds.toFixed(0)])
  console.log(table.toString())
}

const why = options.skipRig ? 'not asked for' : rigMissing()
if (why && !options.skipRig) console.log(`the rig is left out: ${why}`)
const rig = why
  ? []
  : await throughput(
      [
        plain,
        sallyport('sallyport ipsec-mb UDP', { engine: 'auto', encapsulation: 'udp' }),
        sallyport('sallyport openssl UDP', { engine: 'openssl', encapsulation: 'udp' }),
        sallyport('sallyport ESP raw', { engine: 'auto', encapsulation: 'raw' }),
        sallyport('sallyport AH raw', {
          engine: 'auto',
          encapsulation: 'raw',
          protocol: 'ah',
          proposal: 'sha256',
        }),
        strongswan,
        wireguardGo,
      ],
      { ...options, told: (line) => console.log(line) },
    )
if (rig.length > 0) {
  const base = rig.find((r) => r.name.startsWith('strongSwan'))?.median
  const table = new Table({ head: ['gateway', 'Gbit/s, median', 'rounds', 'over strongSwan'] })
  for (const r of rig)
    table.push(
      r.gbits.length === 0
        ? [r.name, '-', r.absent ?? '-', '-']
        : [
            r.name,
            r.median.toFixed(2),
            r.gbits.map((g) => g.toFixed(2)).join(' '),
            base ? `${(r.median / base).toFixed(2)} x` : '-',
          ],
    )
  console.log(`one TCP stream, underlay MTU ${options.mtu}, both hosts on this machine`)
  console.log(table.toString())
}
if (options.json)
  writeFileSync(options.json, `${JSON.stringify({ machine, options, engines, pipeline, rig }, null, 2)}\n`)

function rigMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root, for network namespaces'
  for (const [command, pkg] of [
    ['ip', 'iproute2'],
    ['iperf3', 'iperf3'],
    ['ping', 'iputils-ping'],
  ] as const)
    if (spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0)
      return `${command} is not installed (package ${pkg})`
  return undefined
}
