import type { NftChain, NftRule, NftTable } from '../net/nftables.js'
import {
  addressIn,
  counted,
  familyIs,
  icmpv6TypeIn,
  inputDeviceIs,
  inputDeviceIsNot,
  markIs,
  type NftExpression,
  outputDeviceIs,
  outputDeviceIsNot,
  portIn,
  protocolIs,
  selectorsMatch,
  verdict,
} from '../net/nft-expressions.js'
import { formatSelector, selectorOf, type TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'

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
  return {
    name: filterName(tun),
    chains: [
      chain('input', [
        pass('loopback', inputDeviceIs('lo')),
        ...exemptions(policies, 'input', config.dataplane.fwmark),
        ...drops(policies, (p, local, remote) => [
          ...inputDeviceIsNot(tun),
          ...selectorsMatch(remote, local),
        ]),
      ]),
      chain(
        'forward',
        drops(policies, (p, local, remote) => [...inputDeviceIsNot(tun), ...selectorsMatch(remote, local)]),
      ),
      chain('output', [
        pass('loopback', outputDeviceIs('lo')),
        ...exemptions(policies, 'output', config.dataplane.fwmark),
        // From whatever address of this host.
        ...drops(policies, (p, local, remote) => [
          ...outputDeviceIsNot(tun),
          ...selectorsMatch(anyAddress(local), remote),
        ]),
      ]),
      chain('postrouting', [
        pass('loopback', outputDeviceIs('lo')),
        ...exemptions(policies, 'output', config.dataplane.fwmark),
        ...drops(policies, (p, local, remote) => [
          ...outputDeviceIsNot(tun),
          ...selectorsMatch(local, remote),
        ]),
      ]),
    ],
  }
}

type Hook = NftChain['hook']

const chain = (hook: Hook, rules: readonly NftRule[]): NftChain => ({ name: hook, hook, priority: PRIORITY, rules })

const pass = (comment: string, match: readonly NftExpression[]): NftRule => ({
  comment,
  expressions: [...match, verdict('accept')],
})

/** One rule for each pair of selectors. */
function drops(
  policies: readonly PolicySettings[],
  match: (p: PolicySettings, local: TrafficSelector, remote: TrafficSelector) => NftExpression[],
): NftRule[] {
  const out = new Map<string, NftRule>()
  for (const p of policies)
    for (const local of p.localTs)
      for (const remote of p.remoteTs) {
        const expressions = [...match(p, local, remote), counted, verdict('drop')]
        const comment = `${p.peer}.${p.child}: ${formatSelector(local)} - ${formatSelector(remote)}`
        out.set(`${out.size}`, { comment, expressions })
      }
  return [...out.values()]
}

const anyAddress = (ts: TrafficSelector): TrafficSelector => ({
  ...ts,
  start: ts.start.map(() => 0),
  end: ts.end.map(() => 0xff),
})

/** What may pass between underlay addresses that are protected themselves: the protection's own packets. */
function exemptions(policies: readonly PolicySettings[], direction: 'input' | 'output', fwmark: number): NftRule[] {
  const transparent = policies.filter((p) => p.transparent)
  if (transparent.length === 0) return []
  const out = transparent.some((p) => p.remote.length === 16)
    ? [pass('neighbour discovery', icmpv6TypeIn(ND_FIRST, ND_LAST))]
    : []
  if (direction === 'output') return [...out, pass('packets of the gateway itself', markIs(fwmark))]
  const peers = new Map(transparent.map((p) => [`${p.remote} ${p.local}`, p]))
  for (const p of peers.values()) {
    const from = [
      ...familyIs(p.remote.length === 4 ? 4 : 6),
      ...addressIn('source', p.remote, p.remote),
      ...addressIn('destination', p.local, p.local),
    ]
    for (const [name, protocol] of [
      ['ESP', ESP],
      ['AH', AH],
    ] as const)
      out.push(pass(`${name} of ${p.peer}`, [...from, ...protocolIs(protocol)]))
    for (const port of IKE_PORTS)
      out.push(pass(`port ${port} of ${p.peer}`, [...from, ...protocolIs(UDP), ...portIn('destination', port, port)]))
  }
  return out
}
