import {
  convergence,
  disagreement,
  IkeEnd,
  type IkeEnds,
  ikePeer,
  mirroredPeer,
  type TwoIkes,
} from '../ike-ends.js'
import { A, B } from '../prephase-ends.js'
import { VirtualNetwork } from '../virtual-network.js'
import { TrafficEnvironment, TrafficNode } from './traffic.js'

/** Longer than anything is kept or repeated. */
const CALM_MS = 200_000

export interface PairOptions extends TwoIkes {
  /** One-way delay of data packets, 5 ms unless told. */
  readonly dataMs?: number
}

/** Two ends with data between them. */
export interface Pair extends IkeEnds {
  readonly traffic: { readonly a: TrafficNode; readonly b: TrafficNode }
  readonly policies: readonly number[]
}

export function pair(o: PairOptions = {}): Pair {
  const network = new VirtualNetwork(o)
  const seed = o.seed ?? 0
  const config = ikePeer(o.config)
  const [envA, envB] = [`a ${seed}`, `b ${seed}`].map((s) => new TrafficEnvironment(network, s)) as [
    TrafficEnvironment,
    TrafficEnvironment,
  ]
  const a = new IkeEnd(network, [config], '', o.options, envA)
  const b = new IkeEnd(network, [{ ...mirroredPeer(config), ...o.b }], '', o.options, envB)
  const latencyMs = o.dataMs ?? 5
  const traffic = {
    a: new TrafficNode(network, 'a', a, envA, { local: A, remote: B, latencyMs }),
    b: new TrafficNode(network, 'b', b, envB, { local: B, remote: A, latencyMs }),
  }
  return { network, a, b, traffic, policies: config.children.map((c) => c.policy) }
}

/** Both ends send, or none. */
export function flow(p: Pair, policies: readonly number[]): void {
  p.traffic.a.send(policies)
  p.traffic.b.send(policies)
}

/** Two ends with an IKE SA and a CHILD_SA for each policy, both sending. @throws Error when they do not come to that */
export function established(o: PairOptions = {}): Pair {
  const p = pair(o)
  p.a.ike.initiate(p.network.now, 'b')
  // Long enough that both ends may begin exchanges.
  p.network.runFor(2_500)
  const wrong = convergence(p, p.policies.length)
  if (wrong.length > 0) throw new Error(`not up: ${wrong.join('; ')}`)
  flow(p, p.policies)
  p.network.runFor(20)
  return p
}

/** Until the ends wait for nothing that is nearer than their SAs' end: nothing is repeated or kept any more. */
export function calm(p: Pair): void {
  const idle = (): boolean =>
    p.network.inFlight === 0 &&
    [p.a, p.b].every(({ ike }) => (ike.nextDeadline() ?? Number.POSITIVE_INFINITY) > p.network.now + CALM_MS)
  for (let i = 0; i < 20; i++) {
    p.network.runFor(10_000)
    if (idle()) return
  }
}

/** Datagrams of IKE and of the pre-phase, both ends', so far. */
export const messagesOf = (p: Pair): number => p.network.sent.length

const ENDS = ['a', 'b'] as const

/**
 * The invariant, at any time: what one end sends on, the other receives, and no packet was lost.
 * @param gapless there is an SA to send on, too
 */
export function violations(p: Pair, gapless: boolean): string[] {
  const out = disagreement(p)
  for (const side of ENDS) {
    const { counts, faults } = p.traffic[side]
    out.push(...faults)
    if (gapless && counts.unsent > 0) out.push(`${side} had nothing to send on ${counts.unsent} times`)
  }
  return out
}

/**
 * What must hold when all is over: exactly one IKE SA and one CHILD_SA a policy, nothing left of others at either end, no
 * fault inside, and packets flow both ways.
 */
export function unsettled(p: Pair, policies = p.policies.length): string[] {
  const out = convergence(p, policies)
  for (const side of ENDS) {
    const { env, peer } = p[side]
    if (env.sas.size !== 2 * policies) out.push(`${side} has ${env.sas.size} SAs in its data path`)
    if (peer.ikeSas.length !== 1) out.push(`${side} has ${peer.ikeSas.length} IKE SAs`)
    // IKEv1 reads what comes out of order with the wrong IV.
    for (const cause of ['internal', 'malformed-authentic', ...(peer.version === 2 ? ['malformed'] : [])])
      if (env.counted(`ike.${cause}`) > 0) out.push(`${side}: ${cause}`)
    if (env.counted('prephase.internal') > 0) out.push(`${side}: internal in the pre-phase`)
  }
  if (p.traffic.a.policies.length === 0) return out
  const before = ENDS.map((side) => p.traffic[side].counts.received)
  const lost = ENDS.map((side) => p.traffic[side].counts.lost)
  p.network.runFor(5_100)
  ENDS.forEach((side, i) => {
    if (p.traffic[side].counts.received === before[i]) out.push(`nothing comes to ${side}`)
    if (p.traffic[side].counts.lost !== lost[i]) out.push(`${side} loses packets still`)
  })
  return out
}
