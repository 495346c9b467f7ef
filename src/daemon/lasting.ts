import type { NetlinkSocket } from '../net/netlink.js'
import { deleteTable } from '../net/nftables.js'
import { deleteRoute, type Route } from '../net/routes.js'
import { deleteRule, type MarkRule } from '../net/rules.js'
import {
  effectiveRpFilter,
  RP_FILTER_LOOSE,
  RP_FILTER_STRICT,
  readRpFilter,
  writeRpFilter,
} from '../net/sysctl.js'
import { formatPrefix, type Prefix } from '../wire/ip-address.js'
import { BLACKHOLE_METRIC, type NetworkPlan } from './network-plan.js'

/** A destination whose packets are discarded where no other route takes them. */
export interface Blackhole {
  readonly destination: Prefix
  readonly table: number
}

/** The settings that stay in the kernel without the process that made them. */
export interface Lasting {
  /** Names of nftables tables of family inet. */
  readonly filters: readonly string[]
  readonly blackholes: readonly Blackhole[]
  readonly rules: readonly MarkRule[]
  /** Reverse path filter of devices as it was before. */
  readonly rpFilter: ReadonlyMap<string, number>
}

export const NOTHING: Lasting = { filters: [], blackholes: [], rules: [], rpFilter: new Map() }

export interface Sockets {
  readonly route: NetlinkSocket
  readonly netfilter: NetlinkSocket
}

/** What of a plan is lasting. @param rpFilter see strictDevices */
export function lastingOf(plan: NetworkPlan, rpFilter: ReadonlyMap<string, number>): Lasting {
  const blackholes = plan.routes.map(({ destination, table }) => ({ destination, table }))
  return { filters: [plan.filter.name], blackholes, rules: plan.rules, rpFilter }
}

export const blackholeRoute = ({ destination, table }: Blackhole): Route => ({
  destination,
  table,
  metric: BLACKHOLE_METRIC,
  via: { kind: 'blackhole' },
})

/** Everything of both; where they differ on how a sysctl was before, the first one knows. */
export function union(a: Lasting, b: Lasting): Lasting {
  const more = without(b, a)
  return {
    filters: [...a.filters, ...more.filters],
    blackholes: [...a.blackholes, ...more.blackholes],
    rules: [...a.rules, ...more.rules],
    rpFilter: new Map([...a.rpFilter, ...more.rpFilter]),
  }
}

/** What `a` has and `b` has not. */
export function without(a: Lasting, b: Lasting): Lasting {
  const filters = new Set(b.filters)
  const blackholes = new Set(b.blackholes.map(blackholeName))
  const rules = new Set(b.rules.map(ruleName))
  return {
    filters: a.filters.filter((name) => !filters.has(name)),
    blackholes: a.blackholes.filter((r) => !blackholes.has(blackholeName(r))),
    rules: a.rules.filter((r) => !rules.has(ruleName(r))),
    rpFilter: new Map([...a.rpFilter].filter(([device]) => !b.rpFilter.has(device))),
  }
}

const blackholeName = (b: Blackhole): string =>
  `blackhole route to ${formatPrefix(b.destination)} in table ${b.table}`
const ruleName = (r: MarkRule): string =>
  `IPv${r.family} rule ${r.priority}: not fwmark 0x${r.mark.toString(16)} lookup ${r.table}`

export interface Removal {
  readonly what: string
  /** @returns whether there was something to remove. @throws SystemError */
  remove(): boolean
}

/** How to take lasting settings back, each independent of the others; the packet filter comes last. */
export function removals(sockets: Sockets, lasting: Lasting): Removal[] {
  return [
    ...[...lasting.rpFilter].map(([device, before]) => ({
      what: `rp_filter of ${device}`,
      remove: () => restoreRpFilter(device, before),
    })),
    ...lasting.rules.map((r) => ({ what: ruleName(r), remove: () => deleteRule(sockets.route, r) })),
    ...lasting.blackholes.map((b) => ({
      what: blackholeName(b),
      remove: () => deleteRoute(sockets.route, blackholeRoute(b)),
    })),
    ...lasting.filters.map((name) => ({
      what: `nftables table ${name}`,
      remove: () => deleteTable(sockets.netfilter, name),
    })),
  ]
}

/**
 * The planned devices whose reverse path filter is strict, with their own value; of those that a killed daemon made
 * loose, the value before that. The kernel takes the higher of a device's value and that of "all", so that 2 on the
 * device is enough whatever "all" says.
 */
export function strictDevices(devices: readonly string[], left: Lasting): Map<string, number> {
  const out = new Map<string, number>()
  for (const device of devices) {
    const before = left.rpFilter.get(device) ?? readRpFilter(device)
    if (before === undefined) continue
    if (left.rpFilter.has(device) || effectiveRpFilter(device) === RP_FILTER_STRICT) out.set(device, before)
  }
  return out
}

/** Only while it is as we set it: somebody else's later setting stays. */
function restoreRpFilter(device: string, before: number): boolean {
  if (readRpFilter(device) !== RP_FILTER_LOOSE) return false
  writeRpFilter(device, before)
  return true
}
