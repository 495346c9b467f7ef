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
      id === 20 || id === 28 ? noted(aead(id, key.slice(), slab, destroy)) : undefined,
    cipher: (id, key, slab) => (id === 12 ? noted(cbc(key.slice(), slab, destroy)) : undefined),
    mac: (id, key, slab) => {
      const hash = HASHES[id]
      return hash && noted(mac(hash[0], hash[1], key.slice(), slab, destroy))
    },
  }
}

const cut = (slab: Slab, at: number, length: number): Buffer => Buffer.from(slab.bytes.slice(at, at + length))

function aead(id: number, key: Uint8Array, slab: Slab, destroy: () => void): Aead {
  const name = id === 28 ? 'chacha20-poly1305' : (`aes-${key.length * 8}-gcm` as 'aes-128-gcm')
  const options = { authTagLength: 16 }
  return {
    destroy,
    seal(nonce, aad, aadLen, src, len, dst, icv) {
      const c = createCipheriv(name as 'aes-128-gcm', key, cut(slab, nonce, 12), options)
      c.setAAD(cut(slab, aad, aadLen))
      const out = Buffer.concat([c.update(cut(slab, src, len)), c.final()])
      slab.bytes.set(out, dst)
      slab.bytes.set(c.getAuthTag(), icv)
    },
    open(nonce, aad, aadLen, src, len, dst, icv) {
      const c = createDecipheriv(name as 'aes-128-gcm', key, cut(slab, nonce, 12), options)
      c.setAAD(cut(slab, aad, aadLen))
      c.setAuthTag(cut(slab, icv, 16))
      const out = c.update(cut(slab, src, len))
      try {
        c.final()
      } catch {
        slab.bytes.fill(0xee, dst, dst + len)
        return false
      }
      slab.bytes.set(out, dst)
      return true
    },
  }
}

function cbc(key: Uint8Array, slab: Slab, destroy: () => void): Cipher {
  const name = `aes-${key.length * 8}-cbc`
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

function mac(hash: string, icvLength: number, key: Uint8Array, slab: Slab, destroy: () => void): Mac {
  const digest = (at: number, len: number, tail: number, tailLen: number): Buffer =>
    createHmac(hash, key)
      .update(cut(slab, at, len))
      .update(cut(slab, tail, tailLen))
      .digest()
      .subarray(0, icvLength)
  return {
    icvLength,
    destroy,
    compute: (at, len, tail, tailLen, icv) => slab.bytes.set(digest(at, len, tail, tailLen), icv),
    verify: (at, len, tail, tailLen, icv) => digest(at, len, tail, tailLen).equals(cut(slab, icv, icvLength)),
  }
}
