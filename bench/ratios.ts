import { type Figure, type FigureId, figureKey, median } from './figures.js'
import type { Baseline } from './results.js'

// Absolute figures say more of a machine than of a program. What is kept and compared is how one stands to another in
// the same run: above 1 our side is the better one, whether more or less of the figure is good.

export interface RatioSpec {
  readonly name: string
  readonly ours: FigureId
  readonly theirs: FigureId
  /** What the project holds itself to. */
  readonly goal?: number
}

export interface Ratio extends RatioSpec {
  readonly value: number
}

/** A ratio may drop by this part of its stored value before `--check` fails. */
export const TOLERANCE = 0.15

const BEST = 'sallyport ipsec-mb UDP'
const OPENSSL = 'sallyport openssl UDP'
const STRONGSWAN = 'strongSwan kernel-libipsec'
const WIREGUARD = 'wireguard-go'
const LIMIT = 'C limit'

type Peer = readonly [theirs: string, goal?: number]

/** One figure of ours against the same figure of others. */
const against = (ours: string, figure: Omit<FigureId, 'subject'>, peers: readonly Peer[]): RatioSpec[] =>
  peers.map(([theirs, goal]) => ({
    name: `${ours} over ${theirs}: ${figure.section}, ${figure.metric}${figure.mtu ? `, MTU ${figure.mtu}` : ''}`,
    ours: { ...figure, subject: ours },
    theirs: { ...figure, subject: theirs },
    ...(goal !== undefined && { goal }),
  }))

const oneStream = { section: 'rig', metric: 'one TCP stream', mtu: 1500 } as const
const engine = (metric: string) => ({ section: 'engines', metric }) as const

export const RATIOS: readonly RatioSpec[] = [
  ...against(BEST, oneStream, [[WIREGUARD, 2.2], [STRONGSWAN, 7], [LIMIT, 0.75], ['no gateway'], [OPENSSL]]),
  ...against(BEST, { ...oneStream, metric: 'eight TCP streams' }, [[WIREGUARD], [STRONGSWAN], [LIMIT]]),
  ...against(BEST, { ...oneStream, mtu: 9000 }, [[WIREGUARD], [STRONGSWAN], [LIMIT]]),
  // Processor time is measured well on a machine that has other things to do, too.
  ...(['sending', 'receiving'] as const).flatMap((role) =>
    against(BEST, { ...oneStream, metric: `one TCP stream: CPU of the ${role} gateway` }, [
      [WIREGUARD],
      [STRONGSWAN],
      [LIMIT],
    ]),
  ),
  ...against(OPENSSL, oneStream, [[WIREGUARD, 1.6], [STRONGSWAN], ['no gateway']]),
  ...against('sallyport ESP raw', oneStream, [
    [STRONGSWAN, 3],
    [WIREGUARD, 1],
  ]),
  ...against('sallyport AH transport GMAC', oneStream, [[STRONGSWAN, 3]]),
  ...against(BEST, { section: 'pps', metric: '64 octets, window', mtu: 1500 }, [
    [WIREGUARD, 1.3],
    [STRONGSWAN],
  ]),
  ...against(BEST, { section: 'pps', metric: '64 octets, flood', mtu: 1500 }, [
    [WIREGUARD, 1.3],
    [STRONGSWAN],
  ]),
  ...(['p50', 'p99'] as const).flatMap((p) =>
    (['UDP', 'TCP'] as const).flatMap((protocol) =>
      against(BEST, { section: 'latency', metric: `${protocol} 1 octet, ${p}`, mtu: 1500 }, [[WIREGUARD, 1]]),
    ),
  ),
  ...(['idle', 'medium', 'heavy'] as const).flatMap((dirty) =>
    against(BEST, { section: 'migration', metric: `${dirty}: total time`, mtu: 1500 }, [
      ['ssh pipe'],
      ['socat TLS'],
      [WIREGUARD],
      ['plain TCP'],
    ]),
  ),
  ...(['until the SA is up', 'CPU of the responder'] as const).flatMap((what) =>
    ([2, 1] as const).flatMap((version) =>
      against(`sallyport IKEv${version}`, { section: 'ike', metric: `one after another: ${what}` }, [
        [`strongSwan IKEv${version}`],
      ]),
    ),
  ),
  {
    name: 'ipsec-mb over openssl: AES-128-GCM, 1400 octets',
    ours: { ...engine('1400 octets'), subject: 'ipsec-mb AES-128-GCM' },
    theirs: { ...engine('1400 octets'), subject: 'openssl AES-128-GCM' },
  },
  {
    name: 'openssl over noble: AES-128-GCM, 1400 octets',
    ours: { ...engine('1400 octets'), subject: 'openssl AES-128-GCM' },
    theirs: { ...engine('1400 octets'), subject: 'noble AES-128-GCM' },
  },
]

/** The ratios whose two sides were both measured. */
export function ratiosOf(figures: readonly Figure[]): Ratio[] {
  const byKey = new Map(figures.map((f) => [figureKey(f), f]))
  return RATIOS.flatMap((spec) => {
    const [ours, theirs] = [byKey.get(figureKey(spec.ours)), byKey.get(figureKey(spec.theirs))]
    if (!ours || !theirs) return []
    const [a, b] = [median(ours.values), median(theirs.values)]
    const value = ours.better === 'higher' ? a / b : b / a
    return Number.isFinite(value) && value > 0 ? [{ ...spec, value }] : []
  })
}

export interface CheckRow {
  readonly name: string
  readonly stored: number
  /** Undefined: one of the sides was not measured in this run. */
  readonly now: number | undefined
  readonly verdict: 'ok' | 'dropped' | 'not measured'
}

export interface CheckReport {
  readonly rows: readonly CheckRow[]
  /** Why the check fails; undefined when it passes. */
  readonly failure: string | undefined
}

/** Compares the ratios of a run with stored ones. A check that could compare nothing fails: it has shown nothing. */
export function checkRatios(ratios: readonly Ratio[], baseline: Baseline): CheckReport {
  const measured = new Map(ratios.map((r) => [r.name, r.value]))
  const rows = Object.entries(baseline.ratios).map(([name, stored]): CheckRow => {
    const now = measured.get(name)
    if (now === undefined) return { name, stored, now, verdict: 'not measured' }
    return { name, stored, now, verdict: now < stored * (1 - TOLERANCE) ? 'dropped' : 'ok' }
  })
  const dropped = rows.filter((r) => r.verdict === 'dropped')
  const compared = rows.filter((r) => r.now !== undefined)
  const failure =
    compared.length === 0
      ? 'no stored ratio was measured in this run: run the sections and peers that the baseline has'
      : dropped.length > 0
        ? `${dropped.length} of ${compared.length} ratios dropped by more than ${TOLERANCE * 100} %`
        : undefined
  return { rows, failure }
}
