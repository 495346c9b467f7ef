import { cbc, ctr, gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha1 } from '@noble/hashes/legacy.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { equalSecret, wipe } from '../../bytes/octets.js'
import type { Slab } from '../../bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../algorithms.js'
import {
  type CbcMacKeys,
  cbcMacKeys,
  END_OF_CHAIN_MAX,
  endOfChain,
  prefixOfChain,
  wipeCbcMacKeys,
} from '../cbc-mac.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../types.js'
import { ccm } from './noble-ccm.js'

const HASHES: ReadonlyMap<number, typeof sha256> = new Map([
  [INTEG.HMAC_SHA1_96, sha1 as unknown as typeof sha256],
  [INTEG.HMAC_SHA2_256_128, sha256],
  [INTEG.HMAC_SHA2_384_192, sha384 as unknown as typeof sha256],
  [INTEG.HMAC_SHA2_512_256, sha512 as unknown as typeof sha256],
])

/** By id, for an ICV of so many octets. */
const AEADS: ReadonlyMap<number, (icvLength: number) => AeadFunction> = new Map([
  [ENCR.AES_GCM_16, () => gcm],
  [ENCR.CHACHA20_POLY1305, () => chacha20poly1305],
  ...[ENCR.AES_CCM_8, ENCR.AES_CCM_12, ENCR.AES_CCM_16].map((id) => [id, ccm] as const),
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
      const info = encryptionInfo(id)
      const cipher = AEADS.get(id)?.(info?.icvLength ?? 0)
      return info?.keyLengths.includes(key.length) && cipher
        ? new NobleAead(cipher, info.saltLength + info.ivLength, info.icvLength, key, slab)
        : undefined
    },
    cipher(id, key, slab) {
      if (!encryptionInfo(id)?.keyLengths.includes(key.length)) return undefined
      if (id === ENCR.AES_CBC) return new NobleCbc(key, slab)
      return id === ENCR.AES_CTR ? new NobleCtr(key, slab) : undefined
    },
    mac(id, key, slab) {
      const info = integrityInfo(id)
      if (!info) return undefined
      const hash = HASHES.get(id)
      if (hash) return new NobleHmac(hash, info.icvLength, key, slab)
      const keys = cbcMacKeys(id, key)
      return keys && new NobleCbcMac(keys, info.icvLength, slab)
    },
  }
}

type AeadFunction = (
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
) => { encrypt(plain: Uint8Array): Uint8Array; decrypt(sealed: Uint8Array): Uint8Array }

class NobleAead implements Aead {
  readonly nonceLength: number
  readonly icvLength: number
  private readonly cipher: AeadFunction
  private readonly key: Uint8Array
  private readonly slab: Slab
  /** An ended key seals nothing and opens nothing, however it was wiped. */
  private ended = false

  constructor(cipher: AeadFunction, nonceLength: number, icvLength: number, key: Uint8Array, slab: Slab) {
    this.cipher = cipher
    this.nonceLength = nonceLength
    this.icvLength = icvLength
    this.key = Uint8Array.from(key)
    this.slab = slab
  }

  private at(nonce: number, aad: number, aadLen: number): ReturnType<AeadFunction> {
    const b = this.slab.bytes
    return this.cipher(this.key, b.subarray(nonce, nonce + this.nonceLength), b.subarray(aad, aad + aadLen))
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.slab.bytes
    if (this.ended) {
      b.fill(0, dst, dst + len)
      b.fill(0, icv, icv + this.icvLength)
      return
    }
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
    if (this.ended) return false
    const b = this.slab.bytes
    const sealed = new Uint8Array(len + this.icvLength)
    sealed.set(b.subarray(src, src + len))
    sealed.set(b.subarray(icv, icv + this.icvLength), len)
    try {
      b.set(this.at(nonce, aad, aadLen).decrypt(sealed), dst)
      return true
    } catch {
      return false // the only error that it throws for arguments of the right lengths: a wrong tag
    }
  }

  destroy(): void {
    this.ended = true
    wipe(this.key)
  }
}

class NobleCbc implements Cipher {
  private readonly key: Uint8Array
  private readonly slab: Slab
  private ended = false

  constructor(key: Uint8Array, slab: Slab) {
    this.key = Uint8Array.from(key)
    this.slab = slab
  }

  private at(iv: number): ReturnType<typeof cbc> {
    return cbc(this.key, this.slab.bytes.slice(iv, iv + 16), { disablePadding: true })
  }

  encrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.slab.bytes
    if (this.ended) b.fill(0, dst, dst + len)
    else b.set(this.at(iv).encrypt(b.subarray(src, src + len)), dst)
  }

  decrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.slab.bytes
    if (this.ended) b.fill(0, dst, dst + len)
    else b.set(this.at(iv).decrypt(b.subarray(src, src + len)), dst)
  }

  destroy(): void {
    this.ended = true
    wipe(this.key)
  }
}

class NobleCtr implements Cipher {
  private readonly key: Uint8Array
  private readonly slab: Slab
  private ended = false

  constructor(key: Uint8Array, slab: Slab) {
    this.key = Uint8Array.from(key)
    this.slab = slab
  }

  encrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.slab.bytes
    if (this.ended) b.fill(0, dst, dst + len)
    else b.set(ctr(this.key, b.slice(iv, iv + 16)).encrypt(b.subarray(src, src + len)), dst)
  }

  /** The same as encryption: one stream of octets is XORed onto either. */
  decrypt(iv: number, src: number, len: number, dst: number): void {
    this.encrypt(iv, src, len, dst)
  }

  destroy(): void {
    this.ended = true
    wipe(this.key)
  }
}

class NobleHmac implements Mac {
  readonly icvLength: number
  /** Has taken in the key and nothing else: a packet starts from a copy of it. */
  private readonly keyed: ReturnType<typeof hmac.create>
  private readonly slab: Slab
  private ended = false

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
    const b = this.slab.bytes
    if (this.ended) b.fill(0, icv, icv + this.icvLength)
    else b.set(this.hmac(at, len, tail, tailLen), icv)
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    if (this.ended) return false
    return equalSecret(this.hmac(at, len, tail, tailLen), this.slab.bytes.subarray(icv, icv + this.icvLength))
  }

  destroy(): void {
    this.ended = true
    this.keyed.destroy()
  }
}

const ZERO_IV = new Uint8Array(16)

/** AES-XCBC and AES-CMAC. */
class NobleCbcMac implements Mac {
  readonly icvLength: number
  private readonly keys: CbcMacKeys
  private readonly slab: Slab
  private ended = false
  private readonly end = new Uint8Array(END_OF_CHAIN_MAX)

  constructor(keys: CbcMacKeys, icvLength: number, slab: Slab) {
    this.keys = keys
    this.icvLength = icvLength
    this.slab = slab
  }

  private mac(at: number, len: number, tail: number, tailLen: number): Uint8Array {
    const b = this.slab.bytes
    const prefix = prefixOfChain(len, tailLen)
    const n = endOfChain(this.keys, b, at, len, tail, tailLen, this.end)
    const whole = new Uint8Array(prefix + n)
    whole.set(b.subarray(at, at + prefix))
    whole.set(this.end.subarray(0, n), prefix)
    const chain = cbc(this.keys.key, ZERO_IV, { disablePadding: true }).encrypt(whole)
    return chain.subarray(chain.length - 16).subarray(0, this.icvLength)
  }

  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void {
    const b = this.slab.bytes
    if (this.ended) b.fill(0, icv, icv + this.icvLength)
    else b.set(this.mac(at, len, tail, tailLen), icv)
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    if (this.ended) return false
    return equalSecret(this.mac(at, len, tail, tailLen), this.slab.bytes.subarray(icv, icv + this.icvLength))
  }

  destroy(): void {
    this.ended = true
    wipeCbcMacKeys(this.keys)
  }
}
