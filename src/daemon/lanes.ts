import { availableParallelism } from 'node:os'
import type { IkePeerConfig } from '../ike/config.js'
import { LANES_MAX, lanePolicy } from '../sadb/lane-policy.js'
import type { PolicySpec } from '../sadb/sa-spec.js'
import type { GatewayConfig, PolicySettings } from './config/config.js'

// A configured child becomes a policy and a child of IKE for each lane of the data path.

/**
 * How many lanes a configuration wants. A manual SA is one, and so is the lane that its packets must come to.
 * @param processors default: those that this process may use
 */
export function wantedLanes(config: GatewayConfig, processors = availableParallelism()): number {
  const { lanes } = config.dataplane
  if (lanes !== 'auto') return lanes
  if (config.policies.some((p) => p.manual)) return 1
  return Math.min(LANES_MAX, Math.max(1, Math.floor(processors / 2)))
}

/** A policy as each lane has it. */
export const lanePolicies = (policy: PolicySettings, lanes: number): PolicySpec[] =>
  Array.from({ length: lanes }, (_, lane) => ({ ...policy, id: lanePolicy(policy.id, lane) }))

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
