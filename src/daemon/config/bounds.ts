import { POLICIES_MAX } from '../../ipsec/spd.js'
import { SELECTOR_PAIRS_MAX } from '../fail-closed.js'
import type { ResolvedPeer } from './peers.js'
import type { YamlSource } from './yaml-source.js'

/**
 * What all peers together may have. How many peers there may be, and children of one, says the schema.
 * @returns whether it is within the bounds
 */
export function checkBounds(source: YamlSource, peers: readonly ResolvedPeer[]): boolean {
  const policies = peers.flatMap((peer) => peer.policies)
  if (policies.length > POLICIES_MAX)
    source.problem(
      ['peers'],
      `${policies.length} children, each a policy; expected at most ${POLICIES_MAX} of all peers together`,
      'key',
    )
  const pairs = policies.reduce((sum, p) => sum + p.localTs.length * p.remoteTs.length, 0)
  if (pairs > SELECTOR_PAIRS_MAX)
    source.problem(
      ['peers'],
      `${pairs} pairs of selectors, each local one of a child with each remote one; expected at most ${SELECTOR_PAIRS_MAX} of all peers ` +
        'together, which is what the packet filter has room for; several blocks that follow one another can be one',
      'key',
    )
  return policies.length <= POLICIES_MAX && pairs <= SELECTOR_PAIRS_MAX
}
