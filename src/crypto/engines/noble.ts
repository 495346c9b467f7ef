import { cbc, gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha1 } from '@noble/hashes/legacy.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { equalSecret, wipe } from '../../bytes/octets.js'
import type { Slab } from '../../bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../algorithms.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../types.js'

const TAG_LEN = 16

const HASHES: ReadonlyMap<number, typeof sha256> = new Map([
  [INTEG.HMAC_SHA1_96, sha1 as unknown as typeof sha256],
  [INTEG.HMAC_SHA2_256_128, sha256],
  [INTEG.HMAC_SHA2_384_192, sha384 as unknown as typeof sha256],
  [INTEG.HMAC_SHA2_512_256, sha512 as unknown as typeof sha256],
])

/**
 * @noble/ciphers and @noble/hashes: pure TypeScript, always there, on any slab. It allocates per packet; it is the
 * oracle of the differential tests and the fallback where no native call can be made.
 */
export function nobleEngine(): CryptoEngine {
  return {
    name: 'noble',
    detail: '@noble/ciphers, @noble/hashes',
    aead(id, key, slab) {
      if (!encryptionInfo(id)?.keyLengths.includes(key.length)) return undefined
      if (id === ENCR.AES_GCM_16) return new NobleAead(gcm, key, slab)
      if (id === ENCR.CHACHA20_POLY1305) return new NobleAead(chacha20poly1305, key, slab)
      return undefined
    },
    cipher: (id, key, slab) =>
      id === ENCR.AES_CBC && encryptionInfo(id)?.keyLengths.includes(key.length)
        ? new NobleCbc(key, slab)
        : undefined,
    mac(id, key, slab) {
      const hash = HASHES.get(id)
      const info = integrityInfo(id)
      return hash && info ? new NobleHmac(hash, info.icvLength, key, slab) : undefined
    },
  }
}

type AeadFunction = (
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
) => { encrypt(plain: Uint8Array): Uint8Array; decrypt(sealed: Uint8Array): Uint8Array }

class NobleAead implements Aead {
  private readonly cipher: AeadFunction
  private readonly key: Uint8Array
  private readonly slab: Slab

  constructor(cipher: AeadFunction, key: Uint8Array, slab: Slab) {
    this.cipher = cipher
    this.key = Uint8Array.from(key)
    this.slab = slab
  }

  private at(nonce: number, aad: number, aadLen: number): ReturnType<AeadFunction> {
    const b = this.slab.bytes
    return this.cipher(this.key, b.subarray(nonce, nonce + 12), b.subarray(aad, aad + aadLen))
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.slab.bytes
    const sealed = this.at(nonce, aad, aadLen).encrypt(b.subarray(src, src + len))
    b.set(sealed.subarray(0, len), dst)
    b.set(sealed.subarray(len), icv)
  }

  open(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): boolean {
    const b = this.slab.bytes
    const sealed = new Uint8Array(len + TAG_LEN)
    sealed.set(b.subarray(src, src + len))
    sealed.set(b.subarray(icv, icv + TAG_LEN), len)
    try {
      b.set(this.at(nonce, aad, aadLen).decrypt(sealed), dst)
      return true
    } catch {
      return false // the only error that it throws for arguments of the right lengths: a wrong tag
    }
  }

  destroy(): void {
    wipe(this.key)
  }
}

class NobleCbc implements Cipher {
  private readonly key: Uint8Array
  private readonly slab: Slab

  constructor(key: Uint8Array, slab: Slab) {
    this.key = Uint8Array.from(key)
    this.slab = slab
  }

  private at(iv: number): ReturnType<typeof cbc> {
    return cbc(this.key, this.slab.bytes.slice(iv, iv + 16), { disablePadding: true })
  }

  encrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.slab.bytes
    b.set(this.at(iv).encrypt(b.subarray(src, src + len)), dst)
  }

  decrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.slab.bytes
    b.set(this.at(iv).decrypt(b.subarray(src, src + len)), dst)
  }

  destroy(): void {
    wipe(this.key)
  }
}

class NobleHmac implements Mac {
  readonly icvLength: number
  /** Has taken in the key and nothing else: a packet starts from a copy of it. */
  private readonly keyed: ReturnType<typeof hmac.create>
  private readonly slab: Slab

  constructor(hash: typeof sha256, icvLength: number, key: Uint8Array, slab: Slab) {
    this.icvLength = icvLength
    this.keyed = hmac.create(hash, key)
    this.slab = slab
  }

  private hmac(at: number, len: number, tail: number, tailLen: number): Uint8Array {
    const b = this.slab.bytes
    const mac = this.keyed.clone().update(b.subarray(at, at + len))
    if (tailLen !== 0) mac.update(b.subarray(tail, tail + tailLen))
    return mac.digest().subarray(0, this.icvLength)
  }

  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void {
    this.slab.bytes.set(this.hmac(at, len, tail, tailLen), icv)
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    return equalSecret(this.hmac(at, len, tail, tailLen), this.slab.bytes.subarray(icv, icv + this.icvLength))
  }

  destroy(): void {
    this.keyed.destroy()
  }
}
