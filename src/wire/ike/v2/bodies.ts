import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'

// The payloads that are a number and octets.
//
//  KE   (RFC 7296 section 3.4):  | method (2) | 0 (2) | data ... |
//  ID   (RFC 7296 section 3.5):  | type | 0 (3) | data ... |
//  AUTH (RFC 7296 section 3.8):  | method | 0 (3) | data ... |
//  Ni, Nr (section 3.9) and V (section 3.12) are octets alone.

export interface KePayload {
  /** IANA key exchange id. */
  readonly method: number
  readonly data: Uint8Array
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseKe(body: Uint8Array): KePayload {
  const r = new Reader(body)
  const method = r.u16('KE.method')
  r.take(2, 'KE.reserved')
  if (r.left === 0) throw new WireError('KE.data', r.at, 'is empty')
  return { method, data: r.rest() }
}

export const emitKe = (p: KePayload): Uint8Array =>
  new Writer(4 + p.data.length).u16(p.method).u16(0).bytes(p.data).finish()

/** An ID or an AUTH payload. */
export interface TypedPayload {
  /** ID type or authentication method. */
  readonly type: number
  readonly data: Uint8Array
}

/** @param body payload without its generic header; the result aliases it. @throws WireError */
export function parseTyped(body: Uint8Array, name: 'ID' | 'AUTH'): TypedPayload {
  const r = new Reader(body)
  const type = r.u8(`${name}.type`)
  r.take(3, `${name}.reserved`)
  return { type, data: r.rest() }
}

export const emitTyped = (p: TypedPayload): Uint8Array =>
  new Writer(4 + p.data.length).u8(p.type).zeros(3).bytes(p.data).finish()

/** RFC 7296 section 3.9: a nonce has 16 to 256 octets. @returns the same octets. @throws WireError */
export function checkNonce(body: Uint8Array): Uint8Array {
  if (body.length < 16 || body.length > 256)
    throw new WireError('NONCE', 0, `has ${body.length} octets, not 16 to 256`)
  return body
}
