import type { Reader } from '../../../bytes/reader.js'
import type { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'

// Data attributes, RFC 2408 section 3.3.
//
//  |A| type (15 bits) | A = 1: value (2)                  |
//  |A| type (15 bits) | A = 0: length (2) | value (length) |

/** More attributes than any transform has. */
export const ATTRIBUTES_MAX = 32

export interface Attribute {
  readonly type: number
  /** Written in the two-octet form; a chosen transform goes back in the form in which it came. */
  readonly basic: boolean
  /** Two octets when basic. */
  readonly value: Uint8Array
}

/** An attribute with a number: two octets in place where they suffice, four otherwise. */
export function numberAttribute(type: number, value: number): Attribute {
  if (value <= 0xffff) return { type, basic: true, value: Uint8Array.of(value >>> 8, value & 0xff) }
  return {
    type,
    basic: false,
    value: Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff),
  }
}

/** The attribute's value as an unsigned number; undefined when it is empty or above 2^48. */
export function attributeNumber(a: Attribute): number | undefined {
  if (a.value.length === 0) return undefined
  let n = 0
  for (const octet of a.value) {
    n = n * 256 + octet
    if (n > 2 ** 48) return undefined
  }
  return n
}

/**
 * Reads to the end of the reader. Values alias its octets.
 * @throws WireError
 */
export function parseAttributes(r: Reader): Attribute[] {
  const out: Attribute[] = []
  while (r.left > 0) {
    if (out.length === ATTRIBUTES_MAX) throw new WireError('attributes', r.at, `more than ${ATTRIBUTES_MAX}`)
    const head = r.u16('attribute.type')
    const basic = (head & 0x8000) !== 0
    const length = basic ? 2 : r.u16('attribute.length')
    out.push({ type: head & 0x7fff, basic, value: r.take(length, 'attribute.value') })
  }
  return out
}

export function emitAttributes(w: Writer, attributes: readonly Attribute[]): void {
  for (const a of attributes) {
    if (a.basic) w.u16(a.type | 0x8000)
    else w.u16(a.type).u16(a.value.length)
    w.bytes(a.value)
  }
}
