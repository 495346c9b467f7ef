import type { DynamicPsk, IkePeerConfig } from '../../src/ike/config.js'
import type { Endpoint } from '../../src/ike/environment.js'
import { parseIdentity } from '../../src/ike/identity.js'
import type { PrephaseLimits } from '../../src/ike/prephase/limits.js'
import { Prephase } from '../../src/ike/prephase/prephase.js'
import type { PrephaseResult } from '../../src/ike/prephase/types.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { parseIp } from '../../src/wire/ip-address.js'
import {
  seededRandom,
  VirtualEnvironment,
  VirtualNetwork,
  type VirtualNetworkOptions,
  type VirtualNode,
} from './virtual-network.js'

export const ip = (text: string): Uint8Array => parseIp(text)!
export const endpoint = (text: string, port = 500): Endpoint => ({ address: ip(text), port })
export const A = endpoint('192.0.2.1')
export const B = endpoint('192.0.2.2')
export const K_AB = seededRandom('K_ab')(32)

/** A peer's configuration as far as the pre-phase reads it. */
export function peerConfig(over: Partial<IkePeerConfig> = {}): IkePeerConfig {
  return {
    name: 'b',
    localId: parseIdentity('dom0-a.example')!,
    remoteId: parseIdentity('dom0-b.example')!,
    local: A.address,
    remote: B.address,
    key: new Uint8Array(K_AB),
    dynamicPsk: 'hardened',
    version: 1,
    proposals: [],
    ikeLifetimeSeconds: 28_800,
    encapsulation: 'auto',
    dpdDelaySeconds: 30,
    fragmentSize: 1280,
    children: [],
    ...over,
  }
}

/** The other end's view of the same peer. */
export function mirrored(c: IkePeerConfig, name: string): IkePeerConfig {
  return {
    ...c,
    name,
    localId: c.remoteId,
    remoteId: c.localId,
    local: c.remote,
    remote: c.local,
    key: new Uint8Array(c.key),
  }
}

/** What a test wants to look at afterwards: keys are copied, because their owner wipes them. */
export interface Seen {
  readonly at: number
  readonly result: PrephaseResult
}

/** One host: the engine, its surroundings, and all that its listener was told. */
export class PrephaseEnd implements VirtualNode {
  readonly env: VirtualEnvironment
  readonly prephase: Prephase
  readonly finished: Seen[] = []
  readonly failed: { at: number; peer: string; reason: string }[] = []
  /** Called after the bookkeeping, to act as IKE would. */
  onFinished: (now: number, result: PrephaseResult) => void = () => {}

  constructor(
    network: VirtualNetwork,
    peers: readonly IkePeerConfig[],
    seed: string,
    limits: Partial<PrephaseLimits> = {},
    env: VirtualEnvironment = new VirtualEnvironment(network, seed),
  ) {
    this.env = env
    this.prephase = new Prephase(
      peers,
      env,
      {
        finished: (now, result) => {
          this.finished.push({ at: now, result: copyResult(result) })
          this.onFinished(now, result)
        },
        failed: (now, peer, reason) => this.failed.push({ at: now, peer, reason }),
      },
      limits,
    )
    network.attach(peers[0]!.local, this)
  }

  /** Results of one role. */
  results(role: 'initiator' | 'responder'): PrephaseResult[] {
    return this.finished.map((s) => s.result).filter((r) => r.role === role)
  }

  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const header = parseIkeHeader(message)
    if (header.exchange === EXCHANGE.PREPHASE) this.prephase.receive(now, local, remote, header, message)
    else this.prephase.take(now, header.initiatorSpi)
  }
  tick(now: number): void {
    this.prephase.tick(now)
  }
  nextDeadline(): number | undefined {
    return this.prephase.nextDeadline()
  }
}

export function copyResult(r: PrephaseResult): PrephaseResult {
  return {
    ...r,
    psk: new Uint8Array(r.psk),
    ppk: r.ppk === undefined ? undefined : new Uint8Array(r.ppk),
    initiatorCookie: new Uint8Array(r.initiatorCookie),
    responderCookie: new Uint8Array(r.responderCookie),
  }
}

export interface Ends {
  readonly network: VirtualNetwork
  readonly a: PrephaseEnd
  readonly b: PrephaseEnd
}

/** Hosts A (peer name `b`) and B (peer name `a`) with one key and one scheme. */
export function twoEnds(
  scheme: DynamicPsk,
  options: VirtualNetworkOptions & { seed?: string | number; limits?: Partial<PrephaseLimits> } = {},
): Ends {
  const network = new VirtualNetwork(options)
  const seed = options.seed ?? 0
  const config = peerConfig({ dynamicPsk: scheme })
  return {
    network,
    a: new PrephaseEnd(network, [config], `a ${seed}`, options.limits),
    b: new PrephaseEnd(network, [mirrored(config, 'a')], `b ${seed}`, options.limits),
  }
}
