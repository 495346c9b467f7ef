import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import type { Slab } from '../../src/bytes/slab.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../../src/crypto/types.js'

// The ciphers by node:crypto, one object a packet: slow and plain. An oracle for the engines, and the engine of tests that are
// about something else.

const HASHES: Readonly<Record<number, readonly [string, number]>> = {
  2: ['sha1', 12],
  12: ['sha256', 16],
  13: ['sha384', 24],
  14: ['sha512', 32],
}

const AEAD_ICVS: Readonly<Record<number, number>> = { 14: 8, 15: 12, 16: 16, 20: 16, 28: 16 }
const CIPHERS: Readonly<Record<number, string>> = { 12: 'cbc', 13: 'ctr' }

/** Says of every object made whether it was destroyed. */
export interface EngineLog {
  made: number
  destroyed: number
}

export function nodeCryptoEngine(log: EngineLog = { made: 0, destroyed: 0 }): CryptoEngine {
  const destroy = (): void => {
    log.destroyed++
  }
  const noted = <T>(made: T): T => {
    log.made++
    return made
  }
  return {
    name: 'noble',
    detail: 'node:crypto twin',
    aead: (id, key, slab) =>
      AEAD_ICVS[id] === undefined ? undefined : noted(aead(id, key.slice(), slab, destroy)),
    cipher: (id, key, slab) =>
      CIPHERS[id] ? noted(cipher(CIPHERS[id], key.slice(), slab, destroy)) : undefined,
    mac: (id, key, slab) => {
      const hash = HASHES[id]
      if (hash) {
        const digest = (text: Buffer): Buffer => createHmac(hash[0], key.slice()).update(text).digest()
        return noted(mac(digest, hash[1], slab, destroy))
      }
      const own = key.slice()
      if (id === 5) return noted(mac((text) => xcbc(own, text), 12, slab, destroy))
      if (id === 8) return noted(mac((text) => cmac(own, text), 12, slab, destroy))
      return undefined
    },
  }
}

const cut = (slab: Slab, at: number, length: number): Buffer => Buffer.from(slab.bytes.slice(at, at + length))

/** Name for createCipheriv, and what the mode's lengths are. */
export function aeadShape(
  id: number,
  keyLength: number,
): { name: 'aes-128-ccm'; nonceLength: number; icvLength: number } {
  const icvLength = AEAD_ICVS[id]!
  const ccm = id >= 14 && id <= 16
  const name = id === 28 ? 'chacha20-poly1305' : `aes-${keyLength * 8}-${ccm ? 'ccm' : 'gcm'}`
  // The types of all of them together have no overload.
  return { name: name as 'aes-128-ccm', nonceLength: ccm ? 11 : 12, icvLength }
}

function aead(id: number, key: Uint8Array, slab: Slab, destroy: () => void): Aead {
  const { name, nonceLength, icvLength } = aeadShape(id, key.length)
  const options = { authTagLength: icvLength }
  return {
    nonceLength,
    icvLength,
    destroy,
    seal(nonce, aad, aadLen, src, len, dst, icv) {
      const c = createCipheriv(name, key, cut(slab, nonce, nonceLength), options)
      c.setAAD(cut(slab, aad, aadLen), { plaintextLength: len })
      const out = Buffer.concat([c.update(cut(slab, src, len)), c.final()])
      slab.bytes.set(out, dst)
      slab.bytes.set(c.getAuthTag(), icv)
    },
    open(nonce, aad, aadLen, src, len, dst, icv) {
      const c = createDecipheriv(name, key, cut(slab, nonce, nonceLength), options)
      c.setAuthTag(cut(slab, icv, icvLength))
      c.setAAD(cut(slab, aad, aadLen), { plaintextLength: len })
      try {
        const out = c.update(cut(slab, src, len))
        c.final()
        slab.bytes.set(out, dst)
      } catch {
        slab.bytes.fill(0xee, dst, dst + len)
        return false
      }
      return true
    },
  }
}

function cipher(mode: string, key: Uint8Array, slab: Slab, destroy: () => void): Cipher {
  const name = `aes-${key.length * 8}-${mode}`
  return {
    destroy,
    encrypt(iv, src, len, dst) {
      const c = createCipheriv(name, key, cut(slab, iv, 16)).setAutoPadding(false)
      slab.bytes.set(Buffer.concat([c.update(cut(slab, src, len)), c.final()]), dst)
    },
    decrypt(iv, src, len, dst) {
      const c = createDecipheriv(name, key, cut(slab, iv, 16)).setAutoPadding(false)
      slab.bytes.set(Buffer.concat([c.update(cut(slab, src, len)), c.final()]), dst)
    },
  }
}

function mac(digest: (text: Buffer) => Buffer, icvLength: number, slab: Slab, destroy: () => void): Mac {
  const icvOf = (at: number, len: number, tail: number, tailLen: number): Buffer =>
    digest(Buffer.concat([cut(slab, at, len), cut(slab, tail, tailLen)])).subarray(0, icvLength)
  return {
    icvLength,
    destroy,
    compute: (at, len, tail, tailLen, icv) => slab.bytes.set(icvOf(at, len, tail, tailLen), icv),
    verify: (at, len, tail, tailLen, icv) => icvOf(at, len, tail, tailLen).equals(cut(slab, icv, icvLength)),
  }
}

const block = (key: Uint8Array, text: Buffer): Buffer =>
  createCipheriv(`aes-${key.length * 8}-ecb`, key, null)
    .setAutoPadding(false)
    .update(text)
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((v, i) => v ^ b[i]!))

/** RFC 3566 section 4.2, block by block. */
export function xcbc(key: Uint8Array, text: Buffer): Buffer {
  const [k1, k2, k3] = [1, 2, 3].map((n) => block(key, Buffer.alloc(16, n)))
  return chained(k1!, text, k2!, k3!)
}

/** RFC 4493 section 2.4; the subkeys by arithmetic on whole numbers. */
export function cmac(key: Uint8Array, text: Buffer): Buffer {
  const doubled = (b: Buffer): Buffer => {
    const n = BigInt(`0x${b.toString('hex')}`) << 1n
    const reduced = n >> 128n === 0n ? n : (n ^ 0x87n) & ((1n << 128n) - 1n)
    return Buffer.from(reduced.toString(16).padStart(32, '0'), 'hex')
  }
  const k1 = doubled(block(key, Buffer.alloc(16)))
  return chained(key, text, k1, doubled(k1))
}

function chained(key: Uint8Array, text: Buffer, full: Buffer, padded: Buffer): Buffer {
  const blocks = Math.max(1, Math.ceil(text.length / 16))
  let state: Buffer = Buffer.alloc(16)
  for (let i = 0; i < blocks - 1; i++) state = block(key, xor(state, text.subarray(16 * i, 16 * i + 16)))
  const last = text.subarray(16 * (blocks - 1))
  const end =
    last.length === 16
      ? xor(last, full)
      : xor(Buffer.concat([last, Buffer.of(0x80), Buffer.alloc(15 - last.length)]), padded)
  return block(key, xor(state, end))
}
