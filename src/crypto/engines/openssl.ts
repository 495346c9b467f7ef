import type { Slab } from '../../bytes/slab.js'
import { type Evp, evp } from '../../ffi/evp.js'
import { NativeMemory } from '../../ffi/native-memory.js'
import { ENCR, encryptionInfo, integrityInfo } from '../algorithms.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../types.js'

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
      const contexts = contextPair(library, aeadName(id, key.length), id, key, slab)
      return contexts && new OpensslAead(library, contexts, slab)
    },
    cipher(id, key, slab) {
      const name = id === ENCR.AES_CBC ? `aes_${key.length * 8}_cbc` : undefined
      const contexts = contextPair(library, name, id, key, slab)
      return contexts && new OpensslCbc(library, contexts, slab)
    },
    mac(id, key, slab) {
      const info = integrityInfo(id)
      if (!info || slab.address === 0) return undefined
      const context = withKey(key, (address) => library.newHmac(info.hash, address, key.length))
      return context === 0 ? undefined : new OpensslHmac(library, context, info.icvLength, slab)
    },
  }
}

function aeadName(id: number, keyLength: number): string | undefined {
  if (id === ENCR.AES_GCM_16) return `aes_${keyLength * 8}_gcm`
  return id === ENCR.CHACHA20_POLY1305 ? 'chacha20_poly1305' : undefined
}

/** Hands a key to a native call and wipes the copy that was made for it. */
function withKey<T>(key: Uint8Array, use: (address: number) => T): T {
  const memory = new NativeMemory(Math.max(8, key.length))
  memory.bytes.set(key)
  try {
    return use(memory.address)
  } finally {
    memory.bytes.fill(0)
  }
}

/** @returns undefined for what libcrypto or the slab does not have, and for a key of the wrong length */
function contextPair(
  library: Evp,
  name: string | undefined,
  id: number,
  key: Uint8Array,
  slab: Slab,
): ContextPair | undefined {
  // libcrypto reads as many octets as the cipher takes, however long the key is.
  if (name === undefined || slab.address === 0 || !encryptionInfo(id)?.keyLengths.includes(key.length))
    return undefined
  const cipher = library.cipher(name)
  if (cipher === 0) return undefined
  return withKey(key, (address) => {
    const pair = new ContextPair(library)
    if (pair.setKey(cipher, address)) return pair
    pair.free()
    return undefined
  })
}

/** One context a direction, as a change of direction would expand the key again. 0 is no context: libcrypto is not asked. */
class ContextPair {
  encrypt: number
  decrypt: number
  private readonly evp: Evp

  constructor(library: Evp) {
    this.evp = library
    this.encrypt = library.newCipherContext()
    this.decrypt = library.newCipherContext()
  }

  setKey(cipher: number, key: number): boolean {
    return (
      this.encrypt !== 0 &&
      this.decrypt !== 0 &&
      this.evp.setKey(this.encrypt, cipher, key, true) &&
      this.evp.setKey(this.decrypt, cipher, key, false)
    )
  }

  /** Freeing a context makes libcrypto wipe the key schedule in it (EVP_CIPHER_CTX_free(3)). */
  free(): void {
    const { encrypt, decrypt } = this
    this.encrypt = this.decrypt = 0
    if (encrypt !== 0) this.evp.freeCipherContext(encrypt)
    if (decrypt !== 0) this.evp.freeCipherContext(decrypt)
  }
}

class OpensslAead implements Aead {
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

class OpensslCbc implements Cipher {
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

class OpensslHmac implements Mac {
  readonly icvLength: number
  private readonly evp: Evp
  private context: number
  private readonly slab: Slab
  /** The whole HMAC, before truncation. */
  private readonly full = new NativeMemory(MAC_MAX)

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
