import {
  addressesInSet,
  addressInSet,
  counted,
  familyIs,
  icmpv6TypeIn,
  inputDeviceIs,
  inputDeviceIsNot,
  jump,
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
import type { NftChain, NftRule, NftSet, NftTable } from '../net/nftables.js'
import { mergedRanges } from '../wire/address-range.js'
import { AH, ESP, UDP } from '../wire/ip-protocol.js'
import { formatSelector, type TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PeerSettings, PolicySettings } from './config/config.js'
import { exposedPeers } from './exposure.js'

// The packet filter that lets nothing protected pass unprotected, whatever the routes say and whether the daemon lives
// or not. It only ever drops: what it accepts, other tables still judge.

/** IKE, and IKE and ESP in UDP. */
const IKE_PORTS = [500, 4500] as const
/** Router and neighbour solicitation and advertisement (RFC 4861): the underlay does not work without them. */
const ND_FIRST = 133
const ND_LAST = 136
/** Before the chains of other tables at the usual priority 0, so that its counters see what it drops. */
const PRIORITY = -150

/** Of all policies together: each pair has three rules. Together they stay within the bound of one netlink batch. */
export const SELECTOR_PAIRS_MAX = 4096

/** Name of the table: one for each TUN device. */
export const filterName = (tun: string): string => `sallyport-${tun}`

/** Addresses that some policy protects at the peers' side, by family, and the peers whose own are among them. */
const PROTECTED = { 4: 'protected4', 16: 'protected6' } as const
const PEERS = { 4: 'peers4', 16: 'peers6' } as const
const FAMILIES = [4, 16] as const

/**
 * The table of a configuration. Most packets of a host concern no policy: they cost one look into a set, however many policies
 * there are.
 */
export function failClosedTable(config: GatewayConfig): NftTable {
  const tun = config.tun.name
  const { policies } = config
  const exposed = exposedPeers(config)
  const sets = [...protectedAddresses(policies), ...peerAddresses(exposed)]
  const has = (name: string): boolean => sets.some((set) => set.name === name)
  const concerned = (
    device: readonly NftExpression[],
    end: 'source' | 'destination',
    chain: string,
  ): NftRule[] =>
    FAMILIES.filter((octets) => has(PROTECTED[octets])).map((octets) => ({
      comment: `addresses that are protected, ${familyName(octets)}`,
      expressions: [
        ...device,
        ...familyIs(octets === 4 ? 4 : 6),
        ...addressInSet(end, octets, PROTECTED[octets]),
        jump(chain),
      ],
    }))
  const cameIn = concerned(inputDeviceIsNot(tun), 'source', 'came-in')
  const ownOut = concerned(outputDeviceIsNot(tun), 'destination', 'own-out')
  const goesOut = concerned(outputDeviceIsNot(tun), 'destination', 'goes-out')
  const own = ownPackets(config, exposed)
  const lo = 'loopback'
  return {
    name: filterName(tun),
    sets,
    chains: [
      { name: 'came-in', rules: drops(policies, (local, remote) => selectorsMatch(remote, local)) },
      {
        name: 'own-out',
        rules: drops(policies, (local, remote) => selectorsMatch(anyAddress(local), remote)),
      },
      { name: 'goes-out', rules: drops(policies, selectorsMatch) },
      chain('input', [pass(lo, inputDeviceIs('lo')), ...packetsOfPeers(exposed), ...cameIn]),
      chain('forward', cameIn),
      chain('output', [pass(lo, outputDeviceIs('lo')), ...own, ...ownOut]),
      // Behind `output` because a packet's device may change after it, and because forwarded packets come by here too.
      chain('postrouting', [pass(lo, outputDeviceIs('lo')), ...own, ...goesOut]),
    ],
  }
}

function protectedAddresses(policies: readonly PolicySettings[]): NftSet[] {
  const all = policies.flatMap((p) => p.remoteTs)
  return FAMILIES.flatMap((octets) => {
    const ranges = mergedRanges(all.filter((ts) => ts.start.length === octets))
    return ranges.length === 0 ? [] : [{ name: PROTECTED[octets], octets, ranges }]
  })
}

/** Pairs of a peer's address and ours. */
function peerAddresses(peers: readonly PeerSettings[]): NftSet[] {
  return FAMILIES.flatMap((octets) => {
    const pairs = peers
      .filter((peer) => peer.remote.length === octets)
      .map(({ remote, local }) => [remote, local] as const)
    return pairs.length === 0 ? [] : [{ name: PEERS[octets], octets, pairs }]
  })
}

const familyName = (octets: 4 | 16): string => (octets === 4 ? 'IPv4' : 'IPv6')

type Hook = NonNullable<NftChain['hook']>

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
function ownPackets(config: GatewayConfig, exposed: readonly PeerSettings[]): NftRule[] {
  if (exposed.length === 0) return []
  return [
    ...neighbourDiscovery(exposed),
    pass('packets of the gateway itself', markIs(config.dataplane.fwmark)),
  ]
}

/** Where underlay addresses are protected themselves: what may come from them in the clear. */
function packetsOfPeers(exposed: readonly PeerSettings[]): NftRule[] {
  const families = FAMILIES.filter((octets) => exposed.some((peer) => peer.remote.length === octets))
  return [
    ...neighbourDiscovery(exposed),
    ...families.flatMap((octets) => {
      const from = [...familyIs(octets === 4 ? 4 : 6), ...addressesInSet(octets, PEERS[octets])]
      const of = `of peers, ${familyName(octets)}`
      return [
        ...(octets === 16 ? [pass(`later fragments ${of}`, [...from, ...laterFragment])] : []),
        pass(`ESP ${of}`, [...from, ...protocolIs(ESP)]),
        pass(`AH ${of}`, [...from, ...protocolIs(AH)]),
        // A NAT may have changed the source port.
        ...IKE_PORTS.map((port) =>
          pass(`UDP ${port} ${of}`, [...from, ...protocolIs(UDP), ...portIn('destination', port, port)]),
        ),
      ]
    }),
  ]
}

const neighbourDiscovery = (peers: readonly PeerSettings[]): NftRule[] =>
  peers.some((peer) => peer.remote.length === 16)
    ? [pass('neighbour discovery', icmpv6TypeIn(ND_FIRST, ND_LAST))]
    : []
