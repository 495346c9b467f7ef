import type { KeyShare } from '../../crypto/key-exchange.js'
import { ProtocolError, WireError } from '../../errors.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { VENDOR_ID, vendorOf } from '../../wire/ike/v1/vendor-ids.js'
import { emitTyped } from '../../wire/ike/v2/bodies.js'
import { parseChain } from '../../wire/ike/v2/chain.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { Identity } from '../identity.js'
import { lanesSaid, lanesVendors } from '../lanes.js'
import type { Path } from '../path.js'
import type { Capabilities, FirstContext, Received } from './first-states.js'
import { natDetection } from './nat.js'
import { type MessageRules, notify, PayloadSet } from './payload-set.js'
import { asksForKey, canVerify, verifiesSignatures } from './signature.js'

// What both ends of IKE_SA_INIT do alike.

export const NONCE_LEN = 32
export const NO_SPI: Uint8Array = new Uint8Array(8)

/** The payloads of a message in the clear. @throws WireError, ProtocolError */
export function readClear(e: Received, rules: MessageRules): PayloadSet {
  const { payloads, encrypted } = parseChain(e.header, e.message)
  if (encrypted !== undefined) throw new WireError('payloads', encrypted.at, 'encrypted too early')
  return new PayloadSet(payloads, rules)
}

export function capabilitiesOf(set: PayloadSet): Capabilities {
  const vendors = set.all(PAYLOAD.VENDOR)
  return {
    prefersUdp: vendors.some((body) => vendorOf(body) === 'PREFERS_UDP'),
    childless: set.says(NOTIFY.CHILDLESS_IKEV2_SUPPORTED),
    lanes: lanesSaid(vendors),
    intermediate: set.says(NOTIFY.INTERMEDIATE_EXCHANGE_SUPPORTED),
    ppk: set.says(NOTIFY.USE_PPK),
    signatures: canVerify(set),
    asksForKey: asksForKey(set),
  }
}

/** What we say of ourselves behind SA, KE and nonce. @param claims that our address is rewritten, to get ESP in UDP */
export function aboutUs(
  spiI: Uint8Array,
  spiR: Uint8Array,
  path: Path,
  claims: boolean,
  c: FirstContext,
): PayloadInit[] {
  const natT = c.peer.encapsulation !== 'raw'
  const fragments = c.peer.fragmentSize !== 0
  const vendors = [...(natT && c.prefersUdp ? [VENDOR_ID.PREFERS_UDP] : []), ...lanesVendors(c.peer)]
  return [
    ...(natT ? natDetection(spiI, spiR, path, claims) : []),
    ...(fragments ? [notify('IKEV2_FRAGMENTATION_SUPPORTED')] : []),
    ...(c.peer.signatures ? [verifiesSignatures()] : []),
    ...vendors.map((body) => ({ type: PAYLOAD.VENDOR, body })),
  ]
}

/** RFC 6023: the responder says that it takes IKE_AUTH without a CHILD_SA. */
export const childlessSupport = (): PayloadInit => notify('CHILDLESS_IKEV2_SUPPORTED')

/** Undefined when the peer's public value is not valid. */
export function sharedSecret(share: KeyShare, peersPublic: Uint8Array): Uint8Array | undefined {
  try {
    return share.computeSecret(peersPublic)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** Our identity as a payload body. */
export const identityBody = (id: Identity): Uint8Array => emitTyped({ type: id.type, data: id.value })

/** A group number as INVALID_KE_PAYLOAD carries it. */
export const groupOctets = (group: number): Uint8Array => Uint8Array.of(group >>> 8, group & 0xff)

/** RFC 9242: IKE_INTERMEDIATE is understood. */
export const intermediateSupport = (yes: boolean): PayloadInit[] =>
  yes ? [notify('INTERMEDIATE_EXCHANGE_SUPPORTED')] : []
