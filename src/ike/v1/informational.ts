import { AES_BLOCK } from '../../crypto/aes-cbc.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader, VERSION_1 } from '../../wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../wire/ike/payloads.js'
import {
  type DeletePayload,
  emitDelete,
  emitNotify,
  type NotifyPayload,
  parseDelete,
  parseNotify,
} from '../../wire/ike/v1/notify.js'
import { DOI_IPSEC, NOTIFY, PAYLOAD, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import { hash1, phase2Iv } from './keymat.js'
import type { Phase1Keys } from './main-mode-states.js'
import { PayloadSet, RULES } from './message-rules.js'
import { open, seal, verifyHash, withHash } from './protection.js'

// Informational exchange, RFC 2409 section 5.7: one message with its own message ID, and no answer.

/** What protects an Informational: the keys, the cookies, and the block that its IV comes from. */
export interface Protection {
  readonly keys: Phase1Keys
  readonly ci: Uint8Array
  readonly cr: Uint8Array
  readonly lastBlock: Uint8Array
}

/** A whole message. */
export function sealInformational(
  p: Protection,
  messageId: number,
  payloads: readonly PayloadInit[],
): Uint8Array {
  const { prfId, a, key } = p.keys
  const hashed = withHash(payloads, (rest) => hash1(prfId, a, messageId, rest))
  const head = { ci: p.ci, cr: p.cr, exchange: EXCHANGE.INFORMATIONAL_V1, messageId }
  return seal(head, hashed, key, phase2Iv(prfId, p.lastBlock, messageId, AES_BLOCK)).message
}

/** Octets of an unprotected Informational with one notify that has no data. */
export const CLEAR_NOTIFY_LEN: number = IKE_HEADER_LEN + 12

/** An unprotected Informational, RFC 2409 section 5.7: a hint to the peer's operator, nothing that it may rely on. */
export function clearNotify(ci: Uint8Array, cr: Uint8Array, type: number, data: Uint8Array): Uint8Array {
  const none = new Uint8Array(0)
  const body = emitNotify({ doi: DOI_IPSEC, protocol: PROTOCOL.ISAKMP, spi: none, type, data })
  const head = { initiatorSpi: ci, responderSpi: cr, version: VERSION_1, flags: 0, messageId: 0 }
  return emitMessage({ ...head, exchange: EXCHANGE.INFORMATIONAL_V1 }, [{ type: PAYLOAD.NOTIFY, body }])
}

export interface Information {
  readonly notifies: readonly NotifyPayload[]
  readonly deletes: readonly DeletePayload[]
}

/**
 * Decrypts and verifies.
 * @returns undefined when HASH(1) does not verify
 * @throws WireError
 */
export function openInformational(
  p: Protection,
  header: IkeHeader,
  message: Uint8Array,
): Information | undefined {
  const { prfId, a, key } = p.keys
  const opened = open(header, message, key, phase2Iv(prfId, p.lastBlock, header.messageId, AES_BLOCK))
  if (!verifyHash(opened, (rest) => hash1(prfId, a, header.messageId, rest))) return undefined
  return informationOf(new PayloadSet(opened.payloads, RULES.informational))
}

/** @throws WireError */
export const informationOf = (set: PayloadSet): Information => ({
  notifies: set.all(PAYLOAD.NOTIFY).map(parseNotify),
  deletes: set.all(PAYLOAD.DELETE).map(parseDelete),
})

/** Both cookies: what names an ISAKMP SA in a notify or a Delete. */
export function cookiePair(ci: Uint8Array, cr: Uint8Array): Uint8Array {
  const out = new Uint8Array(16)
  out.set(ci)
  out.set(cr, 8)
  return out
}

export const notifyPayload = (
  type: number,
  protocol: number,
  spi: Uint8Array,
  data: Uint8Array = new Uint8Array(0),
): PayloadInit => ({ type: PAYLOAD.NOTIFY, body: emitNotify({ doi: DOI_IPSEC, protocol, spi, type, data }) })

/** "I know of no other SA with you", RFC 2407 section 4.6.3.3. */
export const initialContact = (ci: Uint8Array, cr: Uint8Array): PayloadInit =>
  notifyPayload(NOTIFY.INITIAL_CONTACT, PROTOCOL.ISAKMP, cookiePair(ci, cr))

export const deletePayload = (protocol: number, spis: readonly Uint8Array[]): PayloadInit => ({
  type: PAYLOAD.DELETE,
  body: emitDelete({ doi: DOI_IPSEC, protocol, spis }),
})

/** R-U-THERE or its acknowledgement, RFC 3706 section 5.3. */
export function dpdPayload(
  type: typeof NOTIFY.R_U_THERE | typeof NOTIFY.R_U_THERE_ACK,
  ci: Uint8Array,
  cr: Uint8Array,
  sequence: number,
): PayloadInit {
  const data = Uint8Array.of(
    sequence >>> 24,
    (sequence >>> 16) & 0xff,
    (sequence >>> 8) & 0xff,
    sequence & 0xff,
  )
  return notifyPayload(type, PROTOCOL.ISAKMP, cookiePair(ci, cr), data)
}

/** The sequence number of an R-U-THERE or its acknowledgement; undefined when the data is none. */
export function dpdSequence(n: NotifyPayload): number | undefined {
  if (n.data.length !== 4) return undefined
  return ((n.data[0]! << 24) | (n.data[1]! << 16) | (n.data[2]! << 8) | n.data[3]!) >>> 0
}
