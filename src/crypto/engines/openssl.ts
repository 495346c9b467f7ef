import type { Slab } from '../../bytes/slab.js'
import { type Evp, evp } from '../../ffi/evp.js'
import { sharedMemory } from '../../ffi/native-memory.js'
import { ENCR, encryptionInfo, integrityInfo } from '../algorithms.js'
import { cbcMacKeys, wipeCbcMacKeys } from '../cbc-mac.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../types.js'
import { OpensslCbcMac } from './openssl-cbc-mac.js'
import { type ContextPair, contextPair } from './openssl-contexts.js'
import { withKey } from './with-key.js'

const TAG_LEN = 16
const MAC_MAX = 64

/**
 * EVP and HMAC functions of the OpenSSL inside the node binary, through FFI. Contexts keep the expanded key, a packet
 * only brings its IV.
 * @returns the reason as a string when it cannot be used here
 */
export function opensslEngine(): CryptoEngine | string {
  const library = evp()
  if (typeof library === 'string') return library
  return {
    name: 'openssl',
    detail: `OpenSSL ${library.version} of node ${process.versions.node}`,
    aead(id, key, slab) {
      const info = encryptionInfo(id)
      const name = aeadName(id, key.length)
      if (!info || name === undefined) return undefined
      const nonceLength = info.saltLength + info.ivLength
      if (nonceLength === CCM_NONCE_LEN) {
        const contexts = contextPair(library, name, id, key, slab, { nonceLength, icvLength: info.icvLength })
        return contexts && new OpensslCcm(library, contexts, slab, info.icvLength)
      }
      const contexts = contextPair(library, name, id, key, slab)
      return contexts && new OpensslAead(library, contexts, slab)
    },
    cipher(id, key, slab) {
      const mode = CIPHER_MODES.get(id)
      if (mode === undefined) return undefined
      const contexts = contextPair(library, `aes_${key.length * 8}_${mode}`, id, key, slab)
      return contexts && new OpensslCipher(library, contexts, slab)
    },
    mac(id, key, slab) {
      const info = integrityInfo(id)
      if (!info || slab.address === 0) return undefined
      if (info.hash !== undefined) {
        const { hash } = info
        const context = withKey(key, (address) => library.newHmac(hash, address, key.length))
        return context === 0 ? undefined : new OpensslHmac(library, context, info.icvLength, slab)
      }
      const keys = cbcMacKeys(id, key)
      const contexts = keys && contextPair(library, 'aes_128_cbc', ENCR.AES_CBC, keys.key, slab)
      if (contexts) return new OpensslCbcMac(library, contexts, keys, info.icvLength, slab)
      if (keys) wipeCbcMacKeys(keys)
      return undefined
    },
  }
}

/** Salt and IV of CCM; all other AEADs have a nonce of 12 octets. */
const CCM_NONCE_LEN = 11

const CIPHER_MODES: ReadonlyMap<number, string> = new Map([
  [ENCR.AES_CBC, 'cbc'],
  [ENCR.AES_CTR, 'ctr'],
])

const AEAD_MODES: ReadonlyMap<number, string> = new Map([
  [ENCR.AES_GCM_16, 'gcm'],
  [ENCR.AES_CCM_8, 'ccm'],
  [ENCR.AES_CCM_12, 'ccm'],
  [ENCR.AES_CCM_16, 'ccm'],
])

function aeadName(id: number, keyLength: number): string | undefined {
  const mode = AEAD_MODES.get(id)
  if (mode !== undefined) return `aes_${keyLength * 8}_${mode}`
  return id === ENCR.CHACHA20_POLY1305 ? 'chacha20_poly1305' : undefined
}

class OpensslAead implements Aead {
  readonly nonceLength = 12
  readonly icvLength = TAG_LEN
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly slab: Slab
  private readonly base: number

  constructor(library: Evp, contexts: ContextPair, slab: Slab) {
    this.evp = library
    this.contexts = contexts
    this.slab = slab
    this.base = slab.address
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.base
    const { encrypt } = this.contexts
    if (encrypt !== 0 && this.evp.seal(encrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv))
      return
    // Refused: in place, the plaintext still stands there. What leaves instead is nothing that a peer would accept.
    this.slab.bytes.fill(0, dst, dst + len)
    this.slab.bytes.fill(0, icv, icv + TAG_LEN)
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
    const b = this.base
    const { decrypt } = this.contexts
    return decrypt !== 0 && this.evp.open(decrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv)
  }

  destroy(): void {
    this.contexts.free()
  }
}

class OpensslCcm implements Aead {
  readonly nonceLength = CCM_NONCE_LEN
  readonly icvLength: number
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly slab: Slab
  private readonly base: number

  constructor(library: Evp, contexts: ContextPair, slab: Slab, icvLength: number) {
    this.evp = library
    this.contexts = contexts
    this.slab = slab
    this.base = slab.address
    this.icvLength = icvLength
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.base
    const n = this.icvLength
    const { encrypt } = this.contexts
    if (
      encrypt !== 0 &&
      this.evp.sealCcm(encrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv, n)
    )
      return
    // Refused: as in OpensslAead.
    this.slab.bytes.fill(0, dst, dst + len)
    this.slab.bytes.fill(0, icv, icv + n)
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
    const b = this.base
    const n = this.icvLength
    const { decrypt } = this.contexts
    return (
      decrypt !== 0 &&
      this.evp.openCcm(decrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv, n)
    )
  }

  destroy(): void {
    this.contexts.free()
  }
}

/** CBC and CTR. */
class OpensslCipher implements Cipher {
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly slab: Slab
  private readonly base: number

  constructor(library: Evp, contexts: ContextPair, slab: Slab) {
    this.evp = library
    this.contexts = contexts
    this.slab = slab
    this.base = slab.address
  }

  encrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.base
    const { encrypt } = this.contexts
    // Refused: as in OpensslAead.
    if (encrypt === 0 || !this.evp.encrypt(encrypt, b + iv, b + src, len, b + dst))
      this.slab.bytes.fill(0, dst, dst + len)
  }

  decrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.base
    const { decrypt } = this.contexts
    if (decrypt === 0 || !this.evp.decrypt(decrypt, b + iv, b + src, len, b + dst))
      this.slab.bytes.fill(0, dst, dst + len)
  }

  destroy(): void {
    this.contexts.free()
  }
}

const wholeMac = sharedMemory(MAC_MAX)

class OpensslHmac implements Mac {
  readonly icvLength: number
  private readonly evp: Evp
  private context: number
  private readonly slab: Slab
  /** The whole HMAC, before truncation. */
  private readonly full = wholeMac()

  constructor(library: Evp, context: number, icvLength: number, slab: Slab) {
    this.evp = library
    this.context = context
    this.icvLength = icvLength
    this.slab = slab
  }

  private hmac(at: number, len: number, tail: number, tailLen: number): boolean {
    const b = this.slab.address
    return (
      this.context !== 0 && this.evp.hmac(this.context, b + at, len, b + tail, tailLen, this.full.address)
    )
  }

  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void {
    const out = this.slab.bytes
    const full = this.full.bytes
    // Refused: the HMAC of the packet before must not go out again.
    if (!this.hmac(at, len, tail, tailLen)) full.fill(0)
    for (let i = 0; i < this.icvLength; i++) out[icv + i] = full[i]!
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    if (!this.hmac(at, len, tail, tailLen)) return false
    const full = this.full.bytes
    const given = this.slab.bytes
    let diff = 0
    for (let i = 0; i < this.icvLength; i++) diff |= full[i]! ^ given[icv + i]!
    return diff === 0
  }

  destroy(): void {
    if (this.context !== 0) this.evp.freeHmac(this.context)
    this.context = 0
    this.full.bytes.fill(0)
  }
}
