import type { ChildConfig, IkePeerConfig } from '../../src/ike/config.js'
import type { Endpoint, IkeSaKeys } from '../../src/ike/environment.js'
import { Ike, type IkeOptions } from '../../src/ike/ike.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import type { SaKey, SaSpec } from '../../src/sadb/sa-spec.js'
import { parsePrefix } from '../../src/wire/ip-address.js'
import { selectorOf, type TrafficSelector } from '../../src/wire/traffic-selector.js'
import { A, mirrored, peerConfig } from './prephase-ends.js'
import {
  seededRandom,
  VirtualEnvironment,
  VirtualNetwork,
  type VirtualNetworkOptions,
  type VirtualNode,
} from './virtual-network.js'

export const selector = (text: string): TrafficSelector => selectorOf(parsePrefix(text)!)

export function childConfig(over: Partial<ChildConfig> = {}): ChildConfig {
  return {
    name: 'migration',
    policy: 1,
    protocol: 'esp',
    mode: 'tunnel',
    proposals: [
      parseChildProposal(over.protocol ?? 'esp', over.protocol === 'ah' ? 'sha256' : 'aes128gcm16'),
    ],
    localTs: [selector('10.88.1.0/24')],
    remoteTs: [selector('10.88.2.0/24')],
    replayWindow: 4096,
    lifetime: { hardSeconds: 3_600 },
    start: 'trap',
    ...over,
  }
}

/** Host A's view of host B. */
export function ikePeer(over: Partial<IkePeerConfig> = {}): IkePeerConfig {
  return peerConfig({
    proposals: [parseIkeProposal('aes128-sha256-x25519')],
    children: [childConfig()],
    dpdDelaySeconds: 0,
    ...over,
  })
}

/** The other end's view, children included. */
export function mirroredPeer(c: IkePeerConfig, name = 'a'): IkePeerConfig {
  return {
    ...mirrored(c, name),
    children: c.children.map((child) => ({ ...child, localTs: child.remoteTs, remoteTs: child.localTs })),
  }
}

/** Keys are copied, because they are valid within the call only. */
export class IkeEnvironmentTwin extends VirtualEnvironment {
  readonly keepalives: { at: number; local: Endpoint; remote: Endpoint }[] = []
  /** As one that is kept on a disk: the end that comes after a restart has to have it too. */
  crashSecret: Uint8Array
  /** When a packet last came in on an inbound SPI. */
  readonly inboundAt = new Map<number, number>()

  /** What the data path was told last. */
  sharedLanes: { readonly peer: string; readonly lanes: number } | undefined

  /** What a key log would have. */
  readonly keys: IkeSaKeys[] = []

  constructor(network: VirtualNetwork, seed: number | string) {
    super(network, seed)
    this.crashSecret = seededRandom(`crash ${seed}`)(32)
  }

  keyLog(keys: IkeSaKeys): void {
    this.keys.push(structuredClone(keys))
  }
  shareLanes(peer: string, lanes: number): void {
    this.sharedLanes = { peer, lanes }
  }
  override addSa(sa: SaSpec): void {
    super.addSa(structuredClone(sa))
  }
  sendKeepalive(local: Endpoint, remote: Endpoint): void {
    this.keepalives.push({ at: this.network.now, local, remote })
  }
  redirectSa(key: SaKey, remote: Endpoint): void {
    for (const [name, sa] of this.sas)
      if (sa.direction === key.direction && sa.spi === key.spi && sa.policy === key.policy && sa.udp)
        this.sas.set(name, { ...sa, remote: remote.address, udp: { ...sa.udp, remotePort: remote.port } })
  }
  inboundIdleMs(key: SaKey): number | undefined {
    const at = this.inboundAt.get(key.spi)
    return at === undefined ? undefined : this.network.now - at
  }
  inbound(): SaSpec[] {
    return [...this.sas.values()].filter((s) => s.direction === 'inbound')
  }
  outbound(): SaSpec[] {
    return [...this.sas.values()].filter((s) => s.direction === 'outbound')
  }
  /** The outbound SA that a policy's traffic takes: the newest. */
  newestOutbound(policy: number): SaSpec | undefined {
    return this.outbound().findLast((s) => s.policy === policy)
  }
  logged(part: string): boolean {
    return this.lines.some((l) => JSON.stringify([l.message, l.fields]).includes(part))
  }
}

export class IkeEnd implements VirtualNode {
  readonly env: IkeEnvironmentTwin
  readonly ike: Ike
  constructor(
    network: VirtualNetwork,
    peers: readonly IkePeerConfig[],
    seed: string,
    options: IkeOptions = {},
    env: IkeEnvironmentTwin = new IkeEnvironmentTwin(network, seed),
  ) {
    this.env = env
    this.ike = new Ike(peers, env, options)
    network.attach(peers[0]!.local, this)
  }
  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.ike.receive(now, local, remote, message)
  }
  tick(now: number): void {
    this.ike.tick(now)
  }
  nextDeadline(): number | undefined {
    return this.ike.nextDeadline()
  }
  get peer() {
    return this.ike.status()[0]!
  }
  current() {
    return this.peer.children.filter((c) => c.state === 'CURRENT')
  }
  established() {
    return this.peer.ikeSas.filter((s) => s.state === 'ESTABLISHED' && !s.replaced)
  }
}

export interface IkeEnds {
  readonly network: VirtualNetwork
  readonly a: IkeEnd
  readonly b: IkeEnd
}

export interface TwoIkes extends VirtualNetworkOptions {
  readonly seed?: string | number
  readonly config?: Partial<IkePeerConfig>
  /** Changes to B's side only. */
  readonly b?: Partial<IkePeerConfig>
  readonly options?: IkeOptions
}

export function twoIkes(o: TwoIkes = {}): IkeEnds {
  const network = new VirtualNetwork(o)
  const config = ikePeer(o.config)
  const seed = o.seed ?? 0
  return {
    network,
    a: new IkeEnd(network, [config], `a ${seed}`, o.options),
    b: new IkeEnd(network, [{ ...mirroredPeer(config), ...o.b }], `b ${seed}`, o.options),
  }
}

/** What is wrong between the two ends; empty when each receives what the other sends. */
export function disagreement({ a, b }: IkeEnds): string[] {
  const out: string[] = []
  for (const [name, from, to] of [
    ['a to b', a, b],
    ['b to a', b, a],
  ] as const) {
    for (const policy of new Set(from.env.outbound().map((s) => s.policy))) {
      const sa = from.env.newestOutbound(policy)!
      const twin = to.env.inbound().find((s) => s.spi === sa.spi && s.protocol === sa.protocol)
      if (twin === undefined) {
        out.push(`${name}: nobody receives SPI ${sa.spi.toString(16)}`)
        continue
      }
      for (const k of ['encryption', 'integrity', 'esn', 'mode', 'policy'] as const)
        if (JSON.stringify(twin[k]) !== JSON.stringify(sa[k])) out.push(`${name}: ${k} differs`)
      if ((twin.udp === undefined) !== (sa.udp === undefined)) out.push(`${name}: encapsulation differs`)
    }
  }
  return out
}

/** Exactly one IKE SA and one CHILD_SA a policy at each end, and they are the same. */
export function convergence(ends: IkeEnds, policies = 1): string[] {
  const { a, b } = ends
  const out = disagreement(ends)
  for (const [name, e] of [
    ['a', a],
    ['b', b],
  ] as const) {
    if (e.established().length !== 1) out.push(`${name} has ${e.established().length} IKE SAs`)
    if (e.current().length !== policies) out.push(`${name} has ${e.current().length} CHILD_SAs`)
  }
  const cookies = (e: IkeEnd): string =>
    e
      .established()
      .map((s) => `${s.initiatorSpi}${s.responderSpi}`)
      .join()
  if (cookies(a) !== cookies(b)) out.push('the IKE SAs are not the same')
  const spis = (e: IkeEnd): string =>
    e
      .current()
      .flatMap((c) => [c.inboundSpi, c.outboundSpi])
      .sort((p, q) => p - q)
      .join()
  if (spis(a) !== spis(b)) out.push('the CHILD_SAs are not the same')
  return out
}

export { A }
