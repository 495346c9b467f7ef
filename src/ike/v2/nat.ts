import { equalOctets } from '../../bytes/octets.js'
import { PRF } from '../../crypto/algorithms.js'
import { hash } from '../../crypto/prf.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { NOTIFY } from '../../wire/ike/v2/numbers.js'
import type { Path } from '../path.js'
import { notify, type PayloadSet } from './payload-set.js'

// NAT detection, RFC 7296 section 2.23: each end sends a hash of the addresses as it sees them. A hash that the receiver
// cannot confirm means that somebody between has rewritten the address.

export interface NatState {
  /** Our own address was rewritten: we keep the mapping alive. */
  readonly local: boolean
  readonly remote: boolean
  /** One of us says that its address is rewritten, to get UDP encapsulation. */
  readonly claimed: boolean
}

export const NO_NAT: NatState = { local: false, remote: false, claimed: false }

/** Both ends go to port 4500 and encapsulate ESP in UDP. */
export const usesUdp = (n: NatState): boolean => n.local || n.remote || n.claimed

/**
 * Whether the peer is followed to another address and port. One that claims a NAT hides whether there is one; whoever is behind a
 * NAT itself knows the other end's address (RFC 7296 section 2.23).
 */
export const mayMove = (n: NatState): boolean => n.remote || (n.claimed && !n.local)

/** SHA-1(SPIi | SPIr | IP | port). */
export const natHash = (spiI: Uint8Array, spiR: Uint8Array, address: Uint8Array, port: number): Uint8Array =>
  hash(PRF.HMAC_SHA1, spiI, spiR, address, Uint8Array.of(port >>> 8, port & 0xff))

/** What stands for the sender's own address when it claims a NAT: a source that no datagram has. */
const claim = (spiI: Uint8Array, spiR: Uint8Array, path: Path): Uint8Array =>
  natHash(spiI, spiR, new Uint8Array(path.local.address.length), 0)

/** The two notifications of an IKE_SA_INIT message. @param spiR zero in the request */
export function natDetection(spiI: Uint8Array, spiR: Uint8Array, path: Path, claims: boolean): PayloadInit[] {
  const { local, remote } = path
  const source = claims ? claim(spiI, spiR, path) : natHash(spiI, spiR, local.address, local.port)
  const destination = natHash(spiI, spiR, remote.address, remote.port)
  return [notify('NAT_DETECTION_SOURCE_IP', source), notify('NAT_DETECTION_DESTINATION_IP', destination)]
}

/** Whether the peer does NAT traversal. */
export const doesNatT = (set: PayloadSet): boolean =>
  set.says(NOTIFY.NAT_DETECTION_SOURCE_IP) && set.says(NOTIFY.NAT_DETECTION_DESTINATION_IP)

/**
 * What the peer's notifications say; NO_NAT when it has none.
 * @param path how its message came: we are `local`
 */
export function detectNat(spiI: Uint8Array, spiR: Uint8Array, set: PayloadSet, path: Path): NatState {
  const destination = set.notify(NOTIFY.NAT_DETECTION_DESTINATION_IP)?.data
  const sources = set.notifies.filter((n) => n.type === NOTIFY.NAT_DETECTION_SOURCE_IP).map((n) => n.data)
  if (destination === undefined || sources.length === 0) return NO_NAT
  const { local, remote } = path
  const ours = natHash(spiI, spiR, local.address, local.port)
  const theirs = natHash(spiI, spiR, remote.address, remote.port)
  const claimed = sources.some((s) => equalOctets(s, claim(spiI, spiR, path)))
  return {
    local: !equalOctets(destination, ours),
    remote: !claimed && !sources.some((s) => equalOctets(s, theirs)),
    claimed,
  }
}
