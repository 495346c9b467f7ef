import { concat, wipe } from '../../bytes/octets.js'
import type { KeyShare } from '../../crypto/key-exchange.js'
import { ProtocolError, WireError } from '../../errors.js'
import { EXCHANGE, IKE_HEADER_LEN, VERSION_1 } from '../../wire/ike/header.js'
import { emitMessage, type PayloadInit, parsePayloads } from '../../wire/ike/payloads.js'
import { emitId, type IdPayload, parseId } from '../../wire/ike/v1/id.js'
import { parseNotify } from '../../wire/ike/v1/notify.js'
import { FLAG, PAYLOAD } from '../../wire/ike/v1/numbers.js'
import { VENDOR_ID, vendorOf } from '../../wire/ike/v1/vendor-ids.js'
import { formatIdentity, type Identity, sameIdentity } from '../identity.js'
import { lanesSaid, lanesVendors } from '../lanes.js'
import { copyPath, type Path } from '../path.js'
import { deriveSkeyids, encryptionKey, type Phase1Exchange, skeyidPsk } from './keymat.js'
import type {
  Capabilities,
  MainModeContext,
  MainModeIn,
  Phase1,
  Phase1Keys,
  Received,
} from './main-mode-states.js'
import { type MessageRules, PayloadSet } from './message-rules.js'
import { natPayloads } from './nat.js'

// What both ends of Main Mode do alike.

export const NONCE_LEN = 32
/** Behind the vendor ID: fragments of Main and Quick Mode, not of Aggressive Mode. */
const FRAGMENTS_BOTH_MODES = Uint8Array.of(0x80, 0, 0, 0)
export const NO_COOKIE: Uint8Array = new Uint8Array(8)

export const headOf = (ci: Uint8Array, cr: Uint8Array) => ({
  ci,
  cr,
  exchange: EXCHANGE.MAIN_MODE,
  messageId: 0,
})

export function clear(ci: Uint8Array, cr: Uint8Array, payloads: readonly PayloadInit[]): Uint8Array {
  const head = { initiatorSpi: ci, responderSpi: cr, version: VERSION_1, flags: 0, messageId: 0 }
  return emitMessage({ ...head, exchange: EXCHANGE.MAIN_MODE }, payloads)
}

/** A message of the first four. @throws WireError */
export function readClear(e: Received, rules: MessageRules): PayloadSet {
  if ((e.header.flags & FLAG.ENCRYPTION) !== 0)
    throw new WireError('header.flags', 19, 'is encrypted too early')
  const payloads = parsePayloads(e.message.subarray(IKE_HEADER_LEN), e.header.nextPayload)
  return new PayloadSet(payloads, rules)
}

export function vendors(c: MainModeContext): PayloadInit[] {
  const bodies: Uint8Array[] = [VENDOR_ID.DPD, VENDOR_ID.EXTENDED_NUMBERS]
  if (c.peer.encapsulation !== 'raw') bodies.push(VENDOR_ID.NAT_T)
  if (c.peer.encapsulation !== 'raw' && c.prefersUdp) bodies.push(VENDOR_ID.PREFERS_UDP)
  if (c.peer.fragmentSize !== 0) bodies.push(concat(VENDOR_ID.FRAGMENTATION, FRAGMENTS_BOTH_MODES))
  bodies.push(...lanesVendors(c.peer))
  return bodies.map((body) => ({ type: PAYLOAD.VID, body }))
}

export function capabilitiesOf(set: PayloadSet): Capabilities {
  const names = set.all(PAYLOAD.VID).map(vendorOf)
  return {
    natT: names.includes('NAT_T'),
    dpd: names.includes('DPD'),
    prefersUdp: names.includes('PREFERS_UDP'),
    fragments: names.includes('FRAGMENTATION'),
    extendedNumbers: names.includes('EXTENDED_NUMBERS'),
    lanes: lanesSaid(set.all(PAYLOAD.VID)),
  }
}

export const mergeCapabilities = (a: Capabilities, b: Capabilities): Capabilities => ({
  natT: a.natT || b.natT,
  dpd: a.dpd || b.dpd,
  prefersUdp: a.prefersUdp || b.prefersUdp,
  fragments: a.fragments || b.fragments,
  extendedNumbers: a.extendedNumbers || b.extendedNumbers,
  lanes: Math.max(a.lanes, b.lanes),
})

/** Whether we say that our address is rewritten: both ends then go to port 4500 and encapsulate ESP in UDP. */
export function claimsNat(peer: Capabilities, c: MainModeContext): boolean {
  if (!peer.natT || c.peer.encapsulation === 'raw') return false
  return c.peer.encapsulation === 'udp' || (c.prefersUdp && peer.prefersUdp)
}

export function natDetection(
  prfId: number,
  ci: Uint8Array,
  cr: Uint8Array,
  path: Path,
  peer: Capabilities,
  claimed: boolean,
  c: MainModeContext,
): PayloadInit[] {
  if (!peer.natT || c.peer.encapsulation === 'raw') return []
  const claim = claimed
    ? c.random(natPayloads(prfId, ci, cr, path.local, path.remote, undefined)[0].length)
    : undefined
  return natPayloads(prfId, ci, cr, path.local, path.remote, claim).map((body) => ({
    type: PAYLOAD.NAT_D,
    body,
  }))
}

export const says = (set: PayloadSet, type: number): boolean =>
  set.all(PAYLOAD.NOTIFY).some((body) => parseNotify(body).type === type)

/** Undefined when the peer's public value is not valid. */
export function makeKeys(
  prfId: number,
  keyBits: number,
  share: KeyShare,
  peersPublic: Uint8Array,
  psk: Uint8Array,
  x: Phase1Exchange,
): { skeyid: Uint8Array; keys: Phase1Keys } | undefined {
  let gxy: Uint8Array
  try {
    gxy = share.computeSecret(peersPublic)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
  const s = deriveSkeyids(prfId, skeyidPsk(prfId, psk, x.ni, x.nr), gxy, x.ci, x.cr)
  const key = encryptionKey(prfId, s.e, keyBits / 8)
  wipe(gxy, s.e)
  return { skeyid: s.skeyid, keys: { prfId, d: s.d, a: s.a, key } }
}

/** Our identity as a payload body: protocol and port zero. */
export const identityBody = (id: Identity): Uint8Array =>
  emitId({ type: id.type, data: id.value, protocol: 0, port: 0 })

/** The phase 1 identity's protocol and port are zero, or UDP and an IKE port (RFC 2407 section 4.6.2). */
const plainIdentity = (id: IdPayload): boolean =>
  (id.protocol === 0 && id.port === 0) || (id.protocol === 17 && [0, 500, 4500].includes(id.port))

export interface WrongIdentity {
  readonly reason: string
  /** As the peer sees it. */
  readonly told: string
}

/** What is wrong with the peer's authenticated identity. @throws WireError */
export function wrongIdentity(body: Uint8Array, c: MainModeContext): WrongIdentity | undefined {
  const id = parseId(body)
  const identity = { type: id.type, value: id.data }
  if (plainIdentity(id) && sameIdentity(identity, c.peer.remoteId)) return undefined
  const limited = plainIdentity(id) ? '' : ` (protocol ${id.protocol}, port ${id.port})`
  const [is, wanted] = [`${formatIdentity(identity)}${limited}`, formatIdentity(c.peer.remoteId)]
  return {
    reason: `the peer has our key, but its identity is ${is} where we expect ${wanted}`,
    told: `it expects the identity ${wanted} of us, and we say ${is}`,
  }
}

export function phase1Of(s: MainModeIn<'AUTH_SENT' | 'KE_ANSWERED'>, path: Path, last: Uint8Array): Phase1 {
  return {
    ...s.keys,
    ci: s.x.ci,
    cr: s.x.cr,
    proposal: s.choice.proposal,
    lastBlock: last,
    nat: s.nat,
    path: copyPath(path),
    lifeSeconds: s.choice.lifeSeconds,
    capabilities: s.capabilities,
  }
}
