import { isZero, utf8 } from '../../bytes/octets.js'
import { Reader } from '../../bytes/reader.js'
import { sha256 } from '../../crypto/sha256.js'
import { WireError } from '../../errors.js'
import { EXCHANGE, IKE_HEADER_LEN, type IkeHeader, VERSION_1 } from '../../wire/ike/header.js'
import { emitMessage } from '../../wire/ike/payloads.js'
import { formatIdentity, type Identity } from '../identity.js'
import { isLabel, LABEL_LEN } from './tai64n.js'
import type { Scheme, Step } from './types.js'

// The four messages of both schemes: an ISAKMP header (exchange type 241, version 0x10, flags 0, message ID = step,
// responder cookie zero in step 1 alone) and a chain of generic payloads in one fixed order. There is exactly one
// encoding of each message, and nothing else parses.

export const COOKIE_LEN = 8
export const NONCE_LEN = 32
export const HASH_LEN = 32
/** No message is longer: the longest ID makes step 1 of hardened 395 octets. */
export const PREPHASE_MESSAGE_MAX = 512

/** RFC 2408 section 3.1. */
export const PAYLOAD = { ID: 5, HASH: 8, NONCE: 10, NOTIFY: 11, VID: 13 } as const

/** First 16 octets of the SHA-256 of the scheme's name. */
export const VENDOR_ID: Readonly<Record<Scheme, Uint8Array>> = {
  classic: sha256(utf8('sallyport dynamic PSK classic 1')).slice(0, 16),
  hardened: sha256(utf8('sallyport dynamic PSK hardened 1')).slice(0, 16),
}

/** Notification data (RFC 2408 section 3.14): DOI 1, protocol 1 (ISAKMP), SPI size 0, type 16384 (CONNECTED). */
export const NOTIFY_CONNECTED: Uint8Array = Uint8Array.of(0, 0, 0, 1, 1, 0, 0x40, 0x00)

interface PayloadRule {
  readonly type: number
  readonly name: string
  /** Octets of the body, without the generic header. */
  readonly min: number
  readonly max: number
}

const rule = (type: number, name: string, min: number, max = min): PayloadRule => ({ type, name, min, max })

const VID = rule(PAYLOAD.VID, 'VID', 16)
const ID = rule(PAYLOAD.ID, 'ID', 5, 4 + 255)
const NONCE = rule(PAYLOAD.NONCE, 'NONCE', NONCE_LEN)
const LABELLED_NONCE = rule(PAYLOAD.NONCE, 'NONCE', LABEL_LEN + NONCE_LEN)
const HASH = rule(PAYLOAD.HASH, 'HASH', HASH_LEN)
const NOTIFY = rule(PAYLOAD.NOTIFY, 'N', NOTIFY_CONNECTED.length)

/** Order and count of the payloads: each exactly once, nothing between or behind them. */
const LAYOUT: Readonly<Record<Scheme, Readonly<Record<Step, readonly PayloadRule[]>>>> = {
  classic: { 1: [VID, ID, NONCE], 2: [VID, ID, HASH, NONCE], 3: [HASH], 4: [NOTIFY] },
  hardened: { 1: [VID, ID, LABELLED_NONCE, HASH], 2: [VID, ID, NONCE, HASH], 3: [HASH], 4: [HASH] },
}

/** A parsed message. All octet strings alias the datagram. `id` is the ID payload's body. */
export type PrephaseMessage =
  | {
      readonly step: 1
      readonly scheme: Scheme
      readonly id: Uint8Array
      /** classic: 32 octets; hardened: the label's 12, then 32. */
      readonly nonce: Uint8Array
      /** Hardened only; empty in classic. */
      readonly hash: Uint8Array
    }
  | {
      readonly step: 2
      readonly scheme: Scheme
      readonly id: Uint8Array
      readonly nonce: Uint8Array
      readonly hash: Uint8Array
    }
  /** Looks the same in both schemes. */
  | { readonly step: 3; readonly hash: Uint8Array }
  /** `hash` is empty in classic. */
  | { readonly step: 4; readonly scheme: Scheme; readonly hash: Uint8Array }

export type MessageOf<S extends Step> = Extract<PrephaseMessage, { step: S }>

/**
 * Parses a message of exchange 241.
 * @param header what parseIkeHeader made of the same octets
 * @param message the whole message, marker excluded; the result aliases it
 * @throws WireError on anything but the one encoding
 */
export function parsePrephase(header: IkeHeader, message: Uint8Array): PrephaseMessage {
  if (message.length > PREPHASE_MESSAGE_MAX)
    throw new WireError('header.length', 24, `above ${PREPHASE_MESSAGE_MAX}`)
  if (header.exchange !== EXCHANGE.PREPHASE)
    throw new WireError('header.exchange', 18, `${header.exchange} is not ${EXCHANGE.PREPHASE}`)
  if (header.version !== VERSION_1) throw new WireError('header.version', 17, `${header.version} is not 0x10`)
  if (header.flags !== 0) throw new WireError('header.flags', 19, `${header.flags} is not 0`)
  if (isZero(header.initiatorSpi)) throw new WireError('header.initiatorSpi', 0, 'is zero')
  const step = stepOf(header.messageId)
  if (isZero(header.responderSpi) !== (step === 1))
    throw new WireError('header.responderSpi', 8, step === 1 ? 'is not zero' : 'is zero')
  const scheme = schemeOf(step, header, message)
  const [a, b, c, d] = bodies(LAYOUT[scheme][step], header, message)
  switch (step) {
    case 1:
      return scheme === 'classic'
        ? { step, scheme, id: checkId(b!), nonce: c!, hash: message.subarray(message.length) }
        : { step, scheme, id: checkId(b!), nonce: checkLabel(c!), hash: d! }
    case 2:
      return scheme === 'classic'
        ? { step, scheme, id: checkId(b!), hash: c!, nonce: d! }
        : { step, scheme, id: checkId(b!), nonce: c!, hash: d! }
    case 3:
      return { step, hash: a! }
    case 4:
      return { step, scheme, hash: scheme === 'hardened' ? a! : checkNotify(a!) }
  }
}

function stepOf(messageId: number): Step {
  if (messageId === 1 || messageId === 2 || messageId === 3 || messageId === 4) return messageId
  throw new WireError('header.messageId', 20, `${messageId} is no step`)
}

/** Which layout to hold the message against. Steps 1 and 2 say so in their VID, step 4 by its only payload. */
function schemeOf(step: Step, header: IkeHeader, message: Uint8Array): Scheme {
  if (step === 3) return 'hardened'
  if (step === 4) return header.nextPayload === PAYLOAD.NOTIFY ? 'classic' : 'hardened'
  const vid = message.subarray(IKE_HEADER_LEN + 4, IKE_HEADER_LEN + 20)
  for (const scheme of ['hardened', 'classic'] as const) {
    if (VENDOR_ID[scheme].every((v, i) => v === vid[i])) return scheme
  }
  throw new WireError('VID', IKE_HEADER_LEN + 4, 'names no scheme')
}

/** Walks the chain, which must be the table's to the last octet. */
function bodies(rules: readonly PayloadRule[], header: IkeHeader, message: Uint8Array): Uint8Array[] {
  const r = new Reader(message)
  r.take(IKE_HEADER_LEN, 'header')
  const out: Uint8Array[] = []
  let type = header.nextPayload
  for (const { type: wanted, name, min, max } of rules) {
    if (type !== wanted) throw new WireError(name, r.at, `payload ${type} instead of ${wanted}`)
    type = r.u8(`${name}.next`)
    const reserved = r.u8(`${name}.reserved`)
    if (reserved !== 0) throw new WireError(`${name}.reserved`, r.at - 1, `${reserved} is not 0`)
    const length = r.u16(`${name}.length`) - 4
    if (length < min || length > max)
      throw new WireError(`${name}.length`, r.at - 2, `${length} octets, not ${min} to ${max}`)
    out.push(r.take(length, name))
  }
  if (type !== 0) throw new WireError('payloads', r.at, `payload ${type} after the last one`)
  r.end('payloads')
  return out
}

/** RFC 2407 section 4.6.2: ID type, protocol, port, value; protocol and port are 0 here. */
function checkId(body: Uint8Array): Uint8Array {
  if (body[1] !== 0 || body[2] !== 0 || body[3] !== 0)
    throw new WireError('ID', 1, 'protocol and port are not 0')
  return body
}

/** A label that is none would rank above all that a sane peer can send, and lock it out. */
function checkLabel(nonce: Uint8Array): Uint8Array {
  if (!isLabel(nonce.subarray(0, LABEL_LEN)))
    throw new WireError('NONCE', 0, 'does not begin with a TAI64N label')
  return nonce
}

function checkNotify(body: Uint8Array): Uint8Array {
  if (!NOTIFY_CONNECTED.every((v, i) => v === body[i])) throw new WireError('N', 0, 'is not CONNECTED')
  return body.subarray(body.length)
}

/** The ID payload's body for an identity. */
export function idBody(id: Identity): Uint8Array {
  const out = new Uint8Array(4 + id.value.length)
  out[0] = id.type
  out.set(id.value, 4)
  return out
}

/** An ID payload body's identity as text. @param body four octets at least */
export const formatIdBody = (body: Uint8Array): string =>
  formatIdentity({ type: body[0]!, value: body.subarray(4) })

/**
 * Makes a message.
 * @param bodies the payloads' bodies in the order of the table
 * @returns the whole message, marker excluded
 */
export function emitPrephase(
  scheme: Scheme,
  step: Step,
  initiatorCookie: Uint8Array,
  responderCookie: Uint8Array,
  bodies: readonly Uint8Array[],
): Uint8Array {
  const payloads = LAYOUT[scheme][step].map(({ type }, i) => ({ type, body: bodies[i]! }))
  return emitMessage(
    {
      initiatorSpi: initiatorCookie,
      responderSpi: responderCookie,
      version: VERSION_1,
      exchange: EXCHANGE.PREPHASE,
      flags: 0,
      messageId: step,
    },
    payloads,
  )
}

export const NO_COOKIE: Uint8Array = new Uint8Array(COOKIE_LEN)
/** Stands where the HASH of a hardened message is filled in afterwards. */
export const NO_HASH: Uint8Array = new Uint8Array(HASH_LEN)

/** A copy of a hardened message with the data of its HASH, which is its last payload, zeroed. */
export function withoutHash(message: Uint8Array): Uint8Array {
  const copy = new Uint8Array(message)
  copy.fill(0, copy.length - HASH_LEN)
  return copy
}

/** Puts the HASH data into a message made with NO_HASH; changes and returns it. */
export function fillHash(message: Uint8Array, hash: Uint8Array): Uint8Array {
  message.set(hash, message.length - HASH_LEN)
  return message
}
