import { equalSecret } from '../../bytes/octets.js'
import { AES_BLOCK, aesCbcDecrypt, aesCbcEncrypt } from '../../crypto/aes-cbc.js'
import { WireError } from '../../errors.js'
import { emitIkeHeader, IKE_HEADER_LEN, type IkeHeader, VERSION_1 } from '../../wire/ike/header.js'
import {
  emitPayloads,
  PAYLOAD_HEADER_LEN,
  type Payload,
  type PayloadInit,
  parsePayloads,
} from '../../wire/ike/payloads.js'
import { FLAG, PAYLOAD } from '../../wire/ike/v1/numbers.js'

// Encrypted ISAKMP messages, RFC 2409 appendix B: CBC over all payloads, padded with zeros to the block. Each exchange
// has its own chain of IVs: the last ciphertext block of one message is the IV of the next, whichever way it goes. A
// caller moves its chain on only after a message has been authenticated.

export interface Sealed {
  readonly message: Uint8Array
  /** IV of the exchange's next message. */
  readonly nextIv: Uint8Array
}

export interface MessageHead {
  readonly ci: Uint8Array
  readonly cr: Uint8Array
  readonly exchange: number
  readonly messageId: number
}

/** Encrypts the payloads into a whole message. */
export function seal(
  head: MessageHead,
  payloads: readonly PayloadInit[],
  key: Uint8Array,
  iv: Uint8Array,
): Sealed {
  const chain = emitPayloads(payloads)
  const padded = new Uint8Array(Math.ceil(chain.length / AES_BLOCK) * AES_BLOCK)
  padded.set(chain)
  const ciphertext = aesCbcEncrypt(key, iv, padded)
  padded.fill(0)
  chain.fill(0)
  const message = new Uint8Array(IKE_HEADER_LEN + ciphertext.length)
  const header: IkeHeader = {
    initiatorSpi: head.ci,
    responderSpi: head.cr,
    nextPayload: payloads[0]?.type ?? 0,
    version: VERSION_1,
    exchange: head.exchange,
    flags: FLAG.ENCRYPTION,
    messageId: head.messageId,
    length: message.length,
  }
  emitIkeHeader(header, message, 0)
  message.set(ciphertext, IKE_HEADER_LEN)
  return { message, nextIv: lastBlock(message) }
}

/** The last ciphertext block, copied. */
export const lastBlock = (message: Uint8Array): Uint8Array =>
  new Uint8Array(message.subarray(message.length - AES_BLOCK))

export interface Opened {
  /** The decrypted payloads with padding. */
  readonly plaintext: Uint8Array
  readonly payloads: readonly Payload[]
  readonly nextIv: Uint8Array
}

/**
 * Decrypts a message. What comes out is not authenticated yet.
 * @throws WireError when the message is not encrypted, has no whole blocks, or its payloads do not parse
 */
export function open(header: IkeHeader, message: Uint8Array, key: Uint8Array, iv: Uint8Array): Opened {
  if ((header.flags & FLAG.ENCRYPTION) === 0) throw new WireError('header.flags', 19, 'is not encrypted')
  const ciphertext = message.subarray(IKE_HEADER_LEN)
  if (ciphertext.length === 0 || ciphertext.length % AES_BLOCK !== 0)
    throw new WireError('ciphertext', IKE_HEADER_LEN, `${ciphertext.length} octets are no whole blocks`)
  const plaintext = aesCbcDecrypt(key, iv, ciphertext)
  return { plaintext, payloads: parsePayloads(plaintext, header.nextPayload), nextIv: lastBlock(message) }
}

/** The octets from behind the first payload to the end of the last one: what HASH(1) and HASH(2) cover. */
export function behindFirst(o: Opened): Uint8Array {
  let end = 0
  for (const p of o.payloads) end += PAYLOAD_HEADER_LEN + p.body.length
  const first = o.payloads[0]
  return o.plaintext.subarray(first === undefined ? 0 : PAYLOAD_HEADER_LEN + first.body.length, end)
}

/** Whether the message begins with a HASH payload that says what `expected` makes of the octets behind it. */
export function verifyHash(o: Opened, expected: (rest: Uint8Array) => Uint8Array): boolean {
  const first = o.payloads[0]
  return (
    first !== undefined && first.type === PAYLOAD.HASH && equalSecret(first.body, expected(behindFirst(o)))
  )
}

/** The payloads with a HASH over them in front. */
export function withHash(
  payloads: readonly PayloadInit[],
  make: (rest: Uint8Array) => Uint8Array,
): readonly PayloadInit[] {
  return [{ type: PAYLOAD.HASH, body: make(emitPayloads(payloads)) }, ...payloads]
}
