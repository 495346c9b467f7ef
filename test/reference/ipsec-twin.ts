import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import type { SaSpec } from '../../src/sadb/sa-spec.js'

// ESP and AH once more, on Buffers and node:crypto, written from the RFCs and not from the product: the oracle of whole packets.

const HASH: Readonly<Record<number, readonly [string, number]>> = {
  2: ['sha1', 12],
  12: ['sha256', 16],
  13: ['sha384', 24],
  14: ['sha512', 32],
}

const u32 = (v: number): Buffer => {
  const b = Buffer.alloc(4)
  b.writeUInt32BE(v >>> 0)
  return b
}

function icvOf(s: SaSpec, octets: Buffer): Buffer {
  const [hash, length] = HASH[s.integrity!.id]!
  return createHmac(hash, s.integrity!.key).update(octets).digest().subarray(0, length)
}

/** Seals with the IV given; RFC 4303 section 2. */
export function espTwinSeal(
  s: SaSpec,
  high: number,
  low: number,
  iv: Buffer,
  payload: Uint8Array,
  nextHeader: number,
): Buffer {
  const header = Buffer.concat([u32(s.spi), u32(low)])
  const { id, key } = s.encryption!
  const align = id === 12 ? 16 : 4
  const padding = (align - ((payload.length + 2) % align)) % align
  const plain = Buffer.concat([
    payload,
    Buffer.from(Array.from({ length: padding }, (_, i) => i + 1)),
    Buffer.of(padding, nextHeader),
  ])
  if (id === 20 || id === 28) {
    const name = id === 28 ? 'chacha20-poly1305' : `aes-${(key.length - 4) * 8}-gcm`
    const nonce = Buffer.concat([key.subarray(key.length - 4), iv])
    const c = createCipheriv(name as 'aes-128-gcm', key.subarray(0, key.length - 4), nonce, {
      authTagLength: 16,
    })
    c.setAAD(s.esn ? Buffer.concat([u32(s.spi), u32(high), u32(low)]) : header)
    return Buffer.concat([header, iv, c.update(plain), c.final(), c.getAuthTag()])
  }
  let body = plain
  if (id === 12) {
    const c = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
    body = Buffer.concat([iv, c.update(plain), c.final()])
  }
  const covered = Buffer.concat([header, body])
  return Buffer.concat([covered, icvOf(s, s.esn ? Buffer.concat([covered, u32(high)]) : covered)])
}

/** IV of a packet that the product made. */
export const espTwinIv = (s: SaSpec, packet: Buffer): Buffer =>
  packet.subarray(8, 8 + (s.encryption!.id === 12 ? 16 : s.encryption!.id === 11 ? 0 : 8))

/** Decrypts without looking at the ICV; undefined where the length does not fit. */
export function espTwinPlain(s: SaSpec, packet: Buffer): Buffer | undefined {
  const { id, key } = s.encryption!
  const iv = espTwinIv(s, packet)
  const icv = id === 20 || id === 28 ? 16 : HASH[s.integrity!.id]![1]
  const body = packet.subarray(8 + iv.length, packet.length - icv)
  if (id === 11) return body
  if (id === 12) {
    const c = createDecipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
    return Buffer.concat([c.update(body), c.final()])
  }
  const name = id === 28 ? 'chacha20-poly1305' : `aes-${(key.length - 4) * 8}-gcm`
  const nonce = Buffer.concat([key.subarray(key.length - 4), iv])
  return createDecipheriv(name as 'aes-128-gcm', key.subarray(0, key.length - 4), nonce, {
    authTagLength: 16,
  }).update(body)
}

/**
 * ICV of an AH packet without options and extension headers: mutable fields and ICV zero, then the high half.
 * @param ahAt offset of the AH header @param icvField octets of ICV and padding
 */
export function ahTwinIcv(s: SaSpec, packet: Buffer, ahAt: number, high: number): Buffer {
  const p = Buffer.from(packet)
  if (p[0]! >>> 4 === 4) {
    p[1] = 0
    p.writeUInt16BE(0, 6)
    p[8] = 0
    p.writeUInt16BE(0, 10)
  } else {
    p.writeUInt32BE(0x60000000, 0)
    p[7] = 0
  }
  const icv = HASH[s.integrity!.id]![1]
  p.fill(0, ahAt + 12, ahAt + 12 + icv)
  return icvOf(s, s.esn ? Buffer.concat([p, u32(high)]) : p)
}
