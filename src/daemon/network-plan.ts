import { MAIN_TABLE } from '../net/routes.js'
import type { MarkRule } from '../net/rules.js'
import type { NftTable } from '../net/nftables.js'
import { rangePrefixes } from '../wire/address-range.js'
import { compareIp, formatIp, formatPrefix, type IpAddress, type Prefix } from '../wire/ip-address.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'
import type { InterfaceAddress } from './config/fields.js'
import { failClosedTable } from './fail-closed.js'
import { tunMtu } from './tun-mtu.js'

/** Metric of the routes that discard, behind whatever else leads to the destination. */
export const BLACKHOLE_METRIC = 0xffff_fffe
/** Before the rules of the main table (32766) and of most programs that add their own at the end. */
export const RULE_PRIORITY = 23_057
/** What is assumed of an underlay whose MTU is not known yet: Ethernet. */
export const UNKNOWN_MTU = 1500
/** The largest MTU of a TUN device, and the smallest with which it has IPv6. */
const MTU_MAX = 65_535

/** What the plan needs to know of the host. */
export interface HostFacts {
  readonly addresses: readonly IpAddress[]
  /** How the underlay reaches a peer; undefined when it does not (yet). */
  underlay(remote: IpAddress): { readonly device: string; readonly mtu: number } | undefined
}

/** A protected destination: a route through the TUN device, and behind it one that discards. */
export interface PlannedRoute {
  readonly destination: Prefix
  readonly table: number
  /** Source that the host's own packets have there, so that they match the policy. */
  readonly source: IpAddress | undefined
}

/** Everything that the gateway sets on its host: plain data. */
export interface NetworkPlan {
  readonly tun: string
  readonly mtu: number
  readonly addresses: readonly InterfaceAddress[]
  readonly routes: readonly PlannedRoute[]
  readonly rules: readonly MarkRule[]
  readonly filter: NftTable
  /** Underlay devices whose reverse path filter must not be strict. */
  readonly loose: readonly string[]
  /** What the operator should know. */
  readonly warnings: readonly string[]
}

/** The host's settings for a configuration. Reads nothing and changes nothing. */
export function planNetwork(config: GatewayConfig, facts: HostFacts): NetworkPlan {
  const { fwmark, table } = config.dataplane
  const transparent = config.policies.filter((p) => p.transparent)
  const families = new Set(transparent.map((p) => familyOf(p.remote)))
  const warnings: string[] = []
  for (const peer of config.peers)
    if (!facts.underlay(peer.remote))
      warnings.push(
        `no route leads to peer ${peer.name} (${formatIp(peer.remote)}) now; its path is taken to carry ${UNKNOWN_MTU} octets`,
      )
  return {
    tun: config.tun.name,
    mtu: Math.min(
      MTU_MAX,
      tunMtu(config, (_, remote) => facts.underlay(remote)?.mtu ?? UNKNOWN_MTU),
    ),
    addresses: config.tun.addresses,
    routes: routes(config, facts),
    rules: ([4, 6] as const)
      .filter((family) => families.has(family))
      .map((family) => ({ family, mark: fwmark, table, priority: RULE_PRIORITY })),
    filter: failClosedTable(config),
    // What the peer's unprotected address sends arrives on the underlay, but the way back leads through the TUN device.
    loose: [
      ...new Set(
        transparent
          .filter((p) => familyOf(p.remote) === 4)
          .map((p) => facts.underlay(p.remote)?.device)
          .filter((device) => device !== undefined),
      ),
    ],
    warnings,
  }
}

/** One route a destination and table; of several policies for it the first one's source is taken. */
function routes(config: GatewayConfig, facts: HostFacts): PlannedRoute[] {
  const out = new Map<string, PlannedRoute>()
  for (const policy of config.policies) {
    const table = policy.transparent ? config.dataplane.table : MAIN_TABLE
    const source = preferredSource(config, policy, facts)
    for (const ts of policy.remoteTs)
      for (const destination of rangePrefixes(ts.start, ts.end)) {
        const key = `${table} ${formatPrefix(destination)}`
        if (!out.has(key)) out.set(key, { destination, table, source })
      }
  }
  return [...out.values()]
}

/** An address of this host that the policy's local selectors contain. */
function preferredSource(config: GatewayConfig, policy: PolicySettings, facts: HostFacts): IpAddress | undefined {
  const own = [...config.tun.addresses.map((a) => a.address), ...facts.addresses]
  // The underlay's address is the peer's business only where it is protected itself.
  const candidates = facts.addresses.some((a) => sameAddress(a, policy.local)) ? [policy.local, ...own] : own
  return candidates.find((address) => policy.localTs.some((ts) => contains(ts, address)))
}

const contains = (ts: TrafficSelector, address: IpAddress): boolean =>
  ts.start.length === address.length && compareIp(ts.start, address) <= 0 && compareIp(ts.end, address) >= 0

const sameAddress = (a: IpAddress, b: IpAddress): boolean => a.length === b.length && compareIp(a, b) === 0

const familyOf = (address: IpAddress): 4 | 6 => (address.length === 4 ? 4 : 6)
