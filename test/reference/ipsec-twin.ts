import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import type { SaSpec } from '../../src/sadb/sa-spec.js'
import { aeadShape, cmac, xcbc } from './node-crypto-engine.js'

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

/** GMAC, RFC 4543: GCM that encrypts nothing. */
function gmac(key: Uint8Array, iv: Uint8Array, octets: Buffer): Buffer {
  const [own, salt] = [key.subarray(0, -4), key.subarray(-4)]
  const c = createCipheriv(aeadShape(20, own.length).name, own, Buffer.concat([salt, iv]), {
    authTagLength: 16,
  })
  c.setAAD(octets, { plaintextLength: 0 }).final()
  return c.getAuthTag()
}

/** ICV octets of an integrity algorithm that is no HMAC. */
const CBC_MAC_ICV = 12
const SALT: Readonly<Record<number, number>> = { 13: 4, 14: 3, 15: 3, 16: 3, 20: 4, 21: 4, 28: 4 }
const isAead = (id: number): boolean => id === 20 || id === 28 || (id >= 14 && id <= 16)

function icvOf(s: SaSpec, octets: Buffer): Buffer {
  const { id, key } = s.integrity!
  if (id === 5 || id === 8) return (id === 5 ? xcbc : cmac)(key, octets).subarray(0, CBC_MAC_ICV)
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
  const salt = key.subarray(key.length - (SALT[id] ?? 0))
  const cipherKey = key.subarray(0, key.length - salt.length)
  const numbers = s.esn ? Buffer.concat([u32(s.spi), u32(high), u32(low)]) : header
  if (isAead(id)) {
    const { name, icvLength } = aeadShape(id, cipherKey.length)
    const c = createCipheriv(name, cipherKey, Buffer.concat([salt, iv]), { authTagLength: icvLength })
    c.setAAD(numbers, { plaintextLength: plain.length })
    return Buffer.concat([header, iv, c.update(plain), c.final(), c.getAuthTag()])
  }
  if (id === 21) return Buffer.concat([header, iv, plain, gmac(key, iv, Buffer.concat([numbers, iv, plain]))])
  let body = plain
  if (id === 12) {
    const c = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
    body = Buffer.concat([iv, c.update(plain), c.final()])
  }
  if (id === 13) {
    const first = Buffer.concat([salt, iv, u32(1)])
    body = Buffer.concat([
      iv,
      createCipheriv(`aes-${cipherKey.length * 8}-ctr`, cipherKey, first).update(plain),
    ])
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
  const icv = isAead(id)
    ? aeadShape(id, 16).icvLength
    : id === 21
      ? 16
      : (HASH[s.integrity!.id]?.[1] ?? CBC_MAC_ICV)
  const body = packet.subarray(8 + iv.length, packet.length - icv)
  if (id === 11 || id === 21) return body
  const salt = key.subarray(key.length - (SALT[id] ?? 0))
  const cipherKey = key.subarray(0, key.length - salt.length)
  if (id === 12) {
    const c = createDecipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false)
    return Buffer.concat([c.update(body), c.final()])
  }
  if (id === 13) {
    const first = Buffer.concat([salt, iv, u32(1)])
    return createDecipheriv(`aes-${cipherKey.length * 8}-ctr`, cipherKey, first).update(body)
  }
  const { name, icvLength } = aeadShape(id, cipherKey.length)
  // CCM gives no plaintext out before the tag is right; it is what GCM and CTR are below it.
  if (id < 20) {
    const first = Buffer.concat([Buffer.of(3), salt, iv, u32(1)])
    return createDecipheriv(`aes-${cipherKey.length * 8}-ctr`, cipherKey, first).update(body)
  }
  return createDecipheriv(name, cipherKey, Buffer.concat([salt, iv]), { authTagLength: icvLength }).update(
    body,
  )
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
  const { id, key } = s.integrity!
  const tail = s.esn ? u32(high) : Buffer.alloc(0)
  if (id >= 9 && id <= 11) {
    // IV and ICV share the field; the IV is covered as it is.
    const iv = packet.subarray(ahAt + 12, ahAt + 20)
    p.fill(0, ahAt + 20, ahAt + 36)
    return Buffer.concat([iv, gmac(key, iv, Buffer.concat([p, tail]))])
  }
  const icv = HASH[id]?.[1] ?? CBC_MAC_ICV
  p.fill(0, ahAt + 12, ahAt + 12 + icv)
  return icvOf(s, Buffer.concat([p, tail]))
}
