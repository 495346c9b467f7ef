import { setTimeout as sleep } from 'node:timers/promises'
import { ControlClient } from '../../src/daemon/control/client.js'
import { controlSocket, type Gateway } from '../../test/lab/gateway.js'
import { Lab } from '../../test/lab/lab.js'
import { type SallyportOptions, sallyport } from '../contenders/sallyport.js'
import type { Figures } from '../figures.js'
import { flood } from './flood.js'
import { tcpStreams } from './iperf.js'
import type { RigOptions } from './session.js'
import { udpBufferErrors } from './usage.js'

// A rekey every second under full load, asked for over the control sockets of the two gateways in turn.

const BEST: SallyportOptions = { engine: 'auto', encapsulation: 'udp' }
/** Numbered datagrams beside the TCP stream, which fills the way: what is lost or overtaken is seen in them. */
const PROBE = { octets: 200, rate: 4000, flows: 8 }
const PERIOD_MS = 1000

interface Outcome {
  readonly gbits: number
  readonly retransmits: number
  readonly lost: number
  readonly duplicates: number
  readonly reordered: number
  readonly rekeys: number
  /** Packets that the gateways dropped, by cause, and datagrams that the kernel dropped before them. */
  readonly drops: ReadonlyMap<string, number>
  readonly bufferErrors: number
}

/** Measures one long-lived SA, and then the same load with a rekey every second. */
export async function benchRekey(figures: Figures, o: RigOptions): Promise<void> {
  for (let round = 0; round < o.rounds; round++) {
    o.told(`rekey, round ${round + 1} of ${o.rounds}`)
    note(figures, o, 'one SA', await load(o, false))
    note(figures, o, 'a rekey every second', await load(o, true))
  }
}

async function load(o: RigOptions, rekeying: boolean): Promise<Outcome> {
  const lab = await Lab.create({ wire: 'cable', mtu: o.mtu })
  try {
    const way = await sallyport('sallyport', BEST).connect(lab)
    const gateways = way.gateways ?? []
    const before = await Promise.all(gateways.map(counts))
    const over = new AbortController()
    const renewal = rekeying ? renewEverySecond(lab, over.signal) : Promise.resolve()
    const [stream, probe] = await Promise.all([
      tcpStreams(lab, way, 1, o.seconds),
      flood(lab, way, { ...PROBE, seconds: o.seconds }),
    ]).finally(() => over.abort())
    await renewal
    const after = await Promise.all(gateways.map(counts))
    return {
      gbits: stream.gbits,
      retransmits: stream.retransmits,
      lost: probe.sent - probe.received,
      duplicates: probe.duplicates,
      reordered: probe.reordered,
      rekeys: Math.max(...after.map((n, i) => n.children - before[i]!.children)),
      drops: more(before, after),
      bufferErrors: udpBufferErrors(lab, 'a') + udpBufferErrors(lab, 'b'),
    }
  } finally {
    lab.close()
  }
}

async function renewEverySecond(lab: Lab, over: AbortSignal): Promise<void> {
  for (let n = 0; !over.aborted; n++) {
    const client = await ControlClient.connect(controlSocket(lab, n % 2 === 0 ? 'a' : 'b'))
    try {
      await client.request('rekey', { child: 'migration' })
    } finally {
      client.close()
    }
    await sleep(PERIOD_MS, undefined, { signal: over }).catch(() => undefined)
  }
}

interface Counts {
  readonly children: number
  readonly drops: Readonly<Record<string, number>>
}

async function counts(gateway: Gateway): Promise<Counts> {
  const { events, drops } = await gateway.status()
  return { children: events['ike.child-established'] ?? 0, drops }
}

/** What was dropped between two looks, of both gateways together, by cause. */
function more(before: readonly Counts[], after: readonly Counts[]): Map<string, number> {
  const sum = new Map<string, number>()
  for (const [i, { drops }] of after.entries())
    for (const [cause, count] of Object.entries(drops)) {
      const grown = count - (before[i]!.drops[cause] ?? 0)
      if (grown > 0) sum.set(cause, (sum.get(cause) ?? 0) + grown)
    }
  return sum
}

function note(figures: Figures, o: RigOptions, subject: string, r: Outcome): void {
  const add = (metric: string, unit: string, value: number, better: 'higher' | 'lower' = 'lower'): void => {
    figures.add({ section: 'rekey', subject, metric: `load: ${metric}`, unit, better, mtu: o.mtu }, value)
    o.told(`  ${subject}: ${metric} ${value.toPrecision(4)} ${unit}`)
  }
  add('one TCP stream', 'Gbit/s', r.gbits, 'higher')
  add('SAs made', 'times', r.rekeys, 'higher')
  add('datagrams lost', 'of the probe', r.lost)
  add('repeated', 'of the probe', r.duplicates)
  add('overtaken', 'of the probe', r.reordered)
  add('TCP retransmits', 'segments', r.retransmits)
  add(
    'dropped by the gateways',
    'packets',
    [...r.drops.values()].reduce((a, b) => a + b, 0),
  )
  add('UDP buffer overruns', 'datagrams', r.bufferErrors)
  for (const [cause, count] of r.drops) o.told(`    dropped: ${cause} ${count}`)
}
