import type { Gateway } from '../../test/lab/gateway.js'
import { Lab } from '../../test/lab/lab.js'
import { type SallyportOptions, sallyport } from '../contenders/sallyport.js'
import type { Figures } from '../figures.js'
import { flood } from './flood.js'
import { tcpStreams } from './iperf.js'
import type { RigOptions } from './session.js'
import { udpBufferErrors } from './usage.js'

// A rekey every second under full load. A CHILD_SA cannot be told to live for one second, but for so many packets: as many
// as the same load moves in a second.

const BEST: SallyportOptions = { engine: 'auto', encapsulation: 'udp' }
/** Numbered datagrams beside the TCP stream, which fills the way: what is lost or overtaken is seen in them. */
const PROBE = { octets: 200, rate: 4000, flows: 8 }
/** A rekey begins when about this part of the hard limit is used. */
const SOFT_PART = 0.7
const PACKETS_MIN = 1000

interface Outcome {
  readonly gbits: number
  readonly retransmits: number
  readonly lost: number
  readonly duplicates: number
  readonly reordered: number
  readonly rekeysPerSecond: number
  readonly packetsPerSecond: number
  /** Packets that the gateways dropped, whatever the cause, and datagrams that the kernel dropped before them. */
  readonly drops: number
  readonly bufferErrors: number
}

/** Measures one long-lived SA, and then the same load with a rekey every second. */
export async function benchRekey(figures: Figures, o: RigOptions): Promise<void> {
  for (let round = 0; round < o.rounds; round++) {
    const still = await load(o, {})
    note(figures, o, 'one SA', still)
    const hard = Math.max(PACKETS_MIN, Math.round(still.packetsPerSecond / SOFT_PART))
    note(figures, o, 'a rekey every second', await load(o, { lifetime: { time: '1h', packets: hard } }))
  }
}

async function load(o: RigOptions, child: Record<string, unknown>): Promise<Outcome> {
  const lab = await Lab.create({ wire: 'cable', mtu: o.mtu })
  try {
    const way = await sallyport('sallyport', BEST, { child }).connect(lab)
    const gateways = way.gateways ?? []
    const before = await Promise.all(gateways.map(counts))
    const [stream, probe] = await Promise.all([
      tcpStreams(lab, way, 1, o.seconds),
      flood(lab, way, { ...PROBE, seconds: o.seconds }),
    ])
    const after = await Promise.all(gateways.map(counts))
    const more = (of: 'children' | 'drops' | 'packets'): number[] =>
      after.map((n, i) => n[of] - before[i]![of])
    return {
      gbits: stream.gbits,
      retransmits: stream.retransmits,
      lost: probe.sent - probe.received,
      duplicates: probe.duplicates,
      reordered: probe.reordered,
      rekeysPerSecond: Math.max(...more('children')) / o.seconds,
      packetsPerSecond: Math.max(...more('packets')) / o.seconds,
      drops: more('drops').reduce((a, b) => a + b, 0),
      bufferErrors: udpBufferErrors(lab, 'a') + udpBufferErrors(lab, 'b'),
    }
  } finally {
    lab.close()
  }
}

async function counts(gateway: Gateway): Promise<{ children: number; drops: number; packets: number }> {
  const status = await gateway.status()
  const sas = status.peers.flatMap((p) => p.children.flatMap((c) => c.sas))
  return {
    children: status.events['ike.child-established'] ?? 0,
    drops: Object.values(status.drops).reduce((a, b) => a + b, 0),
    packets: sas.filter((sa) => sa.direction === 'outbound').reduce((n, sa) => n + sa.packets, 0),
  }
}

function note(figures: Figures, o: RigOptions, subject: string, r: Outcome): void {
  const add = (metric: string, unit: string, value: number, better: 'higher' | 'lower' = 'lower'): void => {
    figures.add({ section: 'rekey', subject, metric, unit, better, mtu: o.mtu }, value)
    o.told(`  ${subject}: ${metric} ${value.toPrecision(4)} ${unit}`)
  }
  add('one TCP stream', 'Gbit/s', r.gbits, 'higher')
  add('rekeys', 'a second', r.rekeysPerSecond, 'higher')
  add('datagrams lost', 'of the probe', r.lost)
  add('datagrams repeated', 'of the probe', r.duplicates)
  add('datagrams overtaken', 'of the probe', r.reordered)
  add('TCP retransmits', 'segments', r.retransmits)
  add('drops of the gateways', 'packets', r.drops)
  add('UDP buffer overruns', 'datagrams', r.bufferErrors)
}
