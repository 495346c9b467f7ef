import { availableParallelism } from 'node:os'
import type { IkePeerConfig } from '../ike/config.js'
import { LANES_MAX, lanePolicy } from '../sadb/lane-policy.js'
import type { PolicySpec, SaSpec } from '../sadb/sa-spec.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'

// A configured child becomes a policy and a child of IKE for each lane of the data path.

/**
 * How many lanes a configuration wants.
 * @param processors default: those that this process may use
 */
export function wantedLanes(config: GatewayConfig, processors = availableParallelism()): number {
  const { lanes } = config.dataplane
  if (lanes !== 'auto') return lanes
  return Math.min(LANES_MAX, Math.max(1, Math.floor(processors / 2)))
}

/** A policy as each lane has it. */
export const lanePolicies = (policy: PolicySettings, lanes: number): PolicySpec[] =>
  Array.from({ length: lanes }, (_, lane) => ({ ...policy, id: lanePolicy(policy.id, lane) }))

/**
 * A manual SA as the one lane has it that it belongs to. There is no other for its policy, so all lanes hand their packets to
 * lane 0; inbound, the lane is that which the kernel brings the SPI to.
 */
export function manualInLane(sa: SaSpec, lanes: number): SaSpec {
  const lane = sa.direction === 'inbound' ? sa.spi % lanes : 0
  return { ...sa, policy: lanePolicy(sa.policy, lane) }
}

/** Peers whose children are for each of several lanes. */
export function peersInLanes(peers: readonly IkePeerConfig[], count: number): readonly IkePeerConfig[] {
  if (count === 1) return peers
  return peers.map((peer) => ({
    ...peer,
    children: peer.children.flatMap((child) =>
      Array.from({ length: count }, (_, index) => ({
        ...child,
        policy: lanePolicy(child.policy, index),
        lane: { index, count },
      })),
    ),
  }))
}
