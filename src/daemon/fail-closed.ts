import {
  addressIn,
  counted,
  familyIs,
  icmpv6TypeIn,
  inputDeviceIs,
  inputDeviceIsNot,
  laterFragment,
  markIs,
  type NftExpression,
  outputDeviceIs,
  outputDeviceIsNot,
  portIn,
  protocolIs,
  selectorsMatch,
  verdict,
} from '../net/nft-expressions.js'
import type { NftChain, NftRule, NftTable } from '../net/nftables.js'
import { compareIp, type IpAddress } from '../wire/ip-address.js'
import { formatSelector, type TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PeerSettings, PolicySettings } from './config/config.js'

// The packet filter that lets nothing protected pass unprotected, whatever the routes say and whether the daemon lives
// or not. It only ever drops: what it accepts, other tables still judge.

const ESP = 50
const AH = 51
const UDP = 17
/** IKE, and IKE and ESP in UDP. */
const IKE_PORTS = [500, 4500] as const
/** Router and neighbour solicitation and advertisement (RFC 4861): the underlay does not work without them. */
const ND_FIRST = 133
const ND_LAST = 136
/** Before the chains of other tables at the usual priority 0, so that its counters see what it drops. */
const PRIORITY = -150

/** Name of the table: one for each TUN device. */
export const filterName = (tun: string): string => `sallyport-${tun}`

/** The table of a configuration. */
export function failClosedTable(config: GatewayConfig): NftTable {
  const tun = config.tun.name
  const { policies } = config
  const lo = 'loopback'
  const inbound = drops(policies, (local, remote) => [
    ...inputDeviceIsNot(tun),
    ...selectorsMatch(remote, local),
  ])
  const fromThisHost = drops(policies, (local, remote) => [
    ...outputDeviceIsNot(tun),
    ...selectorsMatch(anyAddress(local), remote),
  ])
  const outbound = drops(policies, (local, remote) => [
    ...outputDeviceIsNot(tun),
    ...selectorsMatch(local, remote),
  ])
  const own = ownPackets(config)
  return {
    name: filterName(tun),
    chains: [
      chain('input', [pass(lo, inputDeviceIs('lo')), ...packetsOfPeers(config), ...inbound]),
      chain('forward', inbound),
      chain('output', [pass(lo, outputDeviceIs('lo')), ...own, ...fromThisHost]),
      // Behind `output` because a packet's device may change after it, and because forwarded packets come by here too.
      chain('postrouting', [pass(lo, outputDeviceIs('lo')), ...own, ...outbound]),
    ],
  }
}

type Hook = NftChain['hook']

const chain = (hook: Hook, rules: readonly NftRule[]): NftChain => ({
  name: hook,
  hook,
  priority: PRIORITY,
  rules,
})

const pass = (comment: string, match: readonly NftExpression[]): NftRule => ({
  comment,
  expressions: [...match, verdict('accept')],
})

/** One rule for each pair of selectors. */
function drops(
  policies: readonly PolicySettings[],
  match: (local: TrafficSelector, remote: TrafficSelector) => NftExpression[],
): NftRule[] {
  return policies.flatMap((p) =>
    p.localTs.flatMap((local) =>
      p.remoteTs.map((remote) => ({
        comment: `${p.peer}.${p.child}: ${formatSelector(local)} - ${formatSelector(remote)}`,
        expressions: [...match(local, remote), counted, verdict('drop')],
      })),
    ),
  )
}

const anyAddress = (ts: TrafficSelector): TrafficSelector => ({
  ...ts,
  start: ts.start.map(() => 0),
  end: ts.end.map(() => 0xff),
})

/** Where underlay addresses are protected themselves: what this host must be able to send to them in the clear. */
function ownPackets(config: GatewayConfig): NftRule[] {
  const peers = exposedPeers(config)
  if (peers.length === 0) return []
  return [
    ...neighbourDiscovery(peers),
    pass('packets of the gateway itself', markIs(config.dataplane.fwmark)),
  ]
}

/** Where underlay addresses are protected themselves: what may come from them in the clear. */
function packetsOfPeers(config: GatewayConfig): NftRule[] {
  const peers = exposedPeers(config)
  return [
    ...neighbourDiscovery(peers),
    ...peers.flatMap(({ name, local, remote }) => {
      const from = [
        ...familyIs(remote.length === 4 ? 4 : 6),
        ...addressIn('source', remote, remote),
        ...addressIn('destination', local, local),
      ]
      return [
        ...(remote.length === 16 ? [pass(`later fragments of ${name}`, [...from, ...laterFragment])] : []),
        pass(`ESP of ${name}`, [...from, ...protocolIs(ESP)]),
        pass(`AH of ${name}`, [...from, ...protocolIs(AH)]),
        // A NAT may have changed the source port.
        ...IKE_PORTS.map((port) =>
          pass(`UDP ${port} of ${name}`, [...from, ...protocolIs(UDP), ...portIn('destination', port, port)]),
        ),
      ]
    }),
  ]
}

const neighbourDiscovery = (peers: readonly PeerSettings[]): NftRule[] =>
  peers.some((peer) => peer.remote.length === 16)
    ? [pass('neighbour discovery', icmpv6TypeIn(ND_FIRST, ND_LAST))]
    : []

/** Peers whose underlay address some policy protects, its own or another peer's. */
export const exposedPeers = (config: GatewayConfig): PeerSettings[] =>
  config.peers.filter((peer) => config.policies.some((p) => protects(p, peer.remote)))

/** Whether the policy protects an underlay address, so that routing has to tell the gateway's packets from the others. */
export const isTransparent = (config: GatewayConfig, policy: PolicySettings): boolean =>
  config.peers.some((peer) => protects(policy, peer.remote))

const protects = (policy: PolicySettings, address: IpAddress): boolean =>
  policy.remoteTs.some((ts) => selectorHas(ts, address))

/** Whether a selector's addresses have this one among them. */
export const selectorHas = (ts: TrafficSelector, address: IpAddress): boolean =>
  ts.start.length === address.length && compareIp(ts.start, address) <= 0 && compareIp(ts.end, address) >= 0
