import { concat } from '../bytes/octets.js'
import { LANES_MAX } from '../sadb/lane-policy.js'
import { VENDOR_ID, vendorOf } from '../wire/ike/v1/vendor-ids.js'
import type { ChildConfig, IkePeerConfig } from './config.js'

// A data path of several lanes has a CHILD_SA for each of them, so that no two threads share a sequence number (the idea of
// RFC 9611). A peer that has fewer lanes, or knows nothing of lanes and would take a second SA for the renewal of the first,
// gets as many as it has: lanes above that hand their packets to one that has an SA. So the ends' lanes are always paired, and
// what one lane sends one lane of the peer receives, in order.

/** Bodies of the vendor IDs that tell the peer how many lanes we have: none for one lane. */
export function lanesVendors(config: IkePeerConfig): Uint8Array[] {
  const lanes = config.children[0]?.lane?.count ?? 1
  return lanes > 1 ? [concat(VENDOR_ID.LANES, Uint8Array.of(lanes))] : []
}

/** How many lanes the peer says it has. @param vendors bodies of its vendor IDs */
export function lanesSaid(vendors: readonly Uint8Array[]): number {
  const said = vendors.find((body) => vendorOf(body) === 'LANES')?.[VENDOR_ID.LANES.length] ?? 1
  return said >= 1 && said <= LANES_MAX ? said : 1
}

/** Lanes that have CHILD_SAs with the peer, from lane 0 on. @param peers as many as the peer says it has */
export function sharedLanes(config: IkePeerConfig, peers = 1): number {
  return Math.max(1, Math.min(config.children[0]?.lane?.count ?? 1, peers))
}

/** The child that has the SA for this one's packets, among the children of its peer. */
export function inSharedLane(
  children: readonly ChildConfig[],
  child: ChildConfig,
  shared: number,
): ChildConfig {
  return child.lane === undefined || child.lane.index < shared
    ? child
    : inLane(children, child, child.lane.index % shared)
}

/**
 * Of a configured child's lanes the one that an SA of the peer's making is for: its SPI names the peer's lane.
 * @param child in any lane @param initiatorsSpi host order
 */
export function laneForPeer(
  config: IkePeerConfig,
  child: ChildConfig,
  initiatorsSpi: number,
  peers: number,
): ChildConfig {
  const index = (initiatorsSpi % Math.max(1, peers)) % sharedLanes(config, peers)
  return inLane(config.children, child, index)
}

function inLane(children: readonly ChildConfig[], child: ChildConfig, index: number): ChildConfig {
  return children.find((c) => c.name === child.name && c.lane?.index === index) ?? child
}
