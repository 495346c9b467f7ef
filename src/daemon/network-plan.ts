import type { NftTable } from '../net/nftables.js'
import { MAIN_TABLE } from '../net/routes.js'
import type { MarkRule } from '../net/rules.js'
import { rangePrefixes } from '../wire/address-range.js'
import { compareIp, formatIp, formatPrefix, type IpAddress, type Prefix, sameIp } from '../wire/ip-address.js'
import { formatSelector, type TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PeerSettings, PolicySettings } from './config/config.js'
import type { InterfaceAddress } from './config/fields.js'
import { exposedPeers, transparentPolicies } from './exposure.js'
import { failClosedTable } from './fail-closed.js'
import { tunMtu } from './tun-mtu.js'

/** Metric of the routes that discard, behind whatever else leads to the destination. */
export const BLACKHOLE_METRIC = 0xffff_fffe
/** Before the rules of the main table (32766) and of most programs that add their own at the end. */
export const RULE_PRIORITY = 23_057
/** What is assumed of an underlay whose MTU is not known yet: Ethernet. */
export const UNKNOWN_MTU = 1500
/** The largest MTU of a TUN device. */
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
  /** MTU of the underlay towards each peer, as far as it is known. */
  readonly ways: readonly { readonly remote: IpAddress; readonly mtu: number }[]
  /** What the operator should know. */
  readonly warnings: readonly string[]
}

/** The host's settings for a configuration. Reads nothing and changes nothing. */
export function planNetwork(config: GatewayConfig, facts: HostFacts): NetworkPlan {
  const { fwmark, table } = config.dataplane
  const exposed = exposedPeers(config)
  return {
    tun: config.tun.name,
    mtu: Math.min(
      MTU_MAX,
      tunMtu(config, (_, remote) => facts.underlay(remote)?.mtu ?? UNKNOWN_MTU),
    ),
    addresses: config.tun.addresses,
    routes: routes(config, facts),
    rules: ([4, 6] as const)
      .filter((family) => exposed.some((peer) => familyOf(peer.remote) === family))
      .map((family) => ({ family, mark: fwmark, table, priority: RULE_PRIORITY })),
    filter: failClosedTable(config),
    loose: looseDevices(exposed, facts),
    ways: config.peers.flatMap(({ remote }) => {
      const mtu = facts.underlay(remote)?.mtu
      return mtu === undefined ? [] : [{ remote, mtu }]
    }),
    warnings: [...unreachable(config, facts), ...wholeAddresses(config)],
  }
}

/**
 * Packets of a protected underlay address arrive on the underlay, while the way back, for whoever has no mark, leads
 * through the TUN device. IPv6 has no such filter.
 */
function looseDevices(exposed: readonly PeerSettings[], facts: HostFacts): string[] {
  const devices = exposed.filter((p) => familyOf(p.remote) === 4).map((p) => facts.underlay(p.remote)?.device)
  return [...new Set(devices.filter((device) => device !== undefined))]
}

function unreachable(config: GatewayConfig, facts: HostFacts): string[] {
  return config.peers
    .filter((peer) => !facts.underlay(peer.remote))
    .map(
      (peer) =>
        `no route leads to peer ${peer.name} (${formatIp(peer.remote)}) now; its path is taken to carry ${UNKNOWN_MTU} octets`,
    )
}

function wholeAddresses(config: GatewayConfig): string[] {
  return config.policies
    .filter((p) => p.remoteTs.some((ts) => ts.protocol !== 0 || ts.startPort !== 0 || ts.endPort !== 0xffff))
    .map(
      (p) =>
        `${p.peer}.${p.child} protects some protocols or ports only, but routes are by address: whatever else this host ` +
        `sends to ${p.remoteTs.map(formatSelector).join(', ')} enters the TUN device too and is discarded unless a child covers it`,
    )
}

/** One route a destination and table; of several policies for it the first one's source is taken. */
function routes(config: GatewayConfig, facts: HostFacts): PlannedRoute[] {
  const out = new Map<string, PlannedRoute>()
  const transparent = transparentPolicies(config)
  for (const policy of config.policies) {
    const table = transparent.has(policy) ? config.dataplane.table : MAIN_TABLE
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
function preferredSource(
  config: GatewayConfig,
  policy: PolicySettings,
  facts: HostFacts,
): IpAddress | undefined {
  const own = [...config.tun.addresses.map((a) => a.address), ...facts.addresses]
  // First the address that the peer knows, in case several of this host are protected.
  const candidates = facts.addresses.some((a) => sameIp(a, policy.local)) ? [policy.local, ...own] : own
  return candidates.find((address) => policy.localTs.some((ts) => selectorHas(ts, address)))
}

/** Whether a selector's addresses have this one among them. */
const selectorHas = (ts: TrafficSelector, address: IpAddress): boolean =>
  ts.start.length === address.length && compareIp(ts.start, address) <= 0 && compareIp(ts.end, address) >= 0

const familyOf = (address: IpAddress): 4 | 6 => (address.length === 4 ? 4 : 6)
