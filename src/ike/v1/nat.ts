import { equalOctets } from '../../bytes/octets.js'
import { hash } from '../../crypto/prf.js'
import type { Endpoint } from '../environment.js'

// NAT detection, RFC 3947 section 3.2: each end sends a hash of the addresses as it sees them, destination first, then
// its source. A hash that the receiver cannot confirm means that somebody between has rewritten the address.

export interface NatState {
  /** Our own address was rewritten: we keep the mapping alive. */
  readonly local: boolean
  /** The peer's address was rewritten, or it says so to get UDP encapsulation. */
  readonly remote: boolean
  /** We said so ourselves, to get UDP encapsulation. */
  readonly claimed: boolean
}

export const NO_NAT: NatState = { local: false, remote: false, claimed: false }

/** Both ends go to port 4500 and encapsulate ESP in UDP. */
export const usesUdp = (n: NatState): boolean => n.local || n.remote || n.claimed

/** hash(CKY-I | CKY-R | IP | port). */
export function natHash(prfId: number, ci: Uint8Array, cr: Uint8Array, e: Endpoint): Uint8Array {
  return hash(prfId, ci, cr, e.address, Uint8Array.of(e.port >>> 8, e.port & 0xff))
}

/**
 * Bodies of the two NAT-D payloads of a message.
 * @param claim random octets as long as a hash, instead of our source: no receiver can confirm them
 */
export function natPayloads(
  prfId: number,
  ci: Uint8Array,
  cr: Uint8Array,
  local: Endpoint,
  remote: Endpoint,
  claim: Uint8Array | undefined,
): [Uint8Array, Uint8Array] {
  return [natHash(prfId, ci, cr, remote), claim ?? natHash(prfId, ci, cr, local)]
}

/**
 * What the peer's NAT-D payloads say.
 * @param received bodies in order: the destination as the peer sees it (us), then one or more sources
 * @param local where the message arrived @param remote where it came from
 */
export function detectNat(
  prfId: number,
  ci: Uint8Array,
  cr: Uint8Array,
  received: readonly Uint8Array[],
  local: Endpoint,
  remote: Endpoint,
): Omit<NatState, 'claimed'> {
  const [destination, ...sources] = received
  if (destination === undefined || sources.length === 0) return { local: false, remote: false }
  const theirs = natHash(prfId, ci, cr, remote)
  return {
    local: !equalOctets(destination, natHash(prfId, ci, cr, local)),
    remote: !sources.some((s) => equalOctets(s, theirs)),
  }
}
