import type { Slab } from '../../bytes/slab.js'
import { type Evp, evp } from '../../ffi/evp.js'
import { NativeMemory } from '../../ffi/native-memory.js'
import { ENCR, integrityInfo } from '../algorithms.js'
import type { Aead, Cipher, CryptoEngine, Mac } from '../types.js'

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
      const name =
        id === ENCR.AES_GCM_16
          ? `aes_${key.length * 8}_gcm`
          : id === ENCR.CHACHA20_POLY1305
            ? 'chacha20_poly1305'
            : undefined
      const contexts = name && slab.address !== 0 ? contextPair(library, name, key) : undefined
      return contexts && new OpensslAead(library, contexts, slab)
    },
    cipher(id, key, slab) {
      if (id !== ENCR.AES_CBC || slab.address === 0) return undefined
      const contexts = contextPair(library, `aes_${key.length * 8}_cbc`, key)
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

/** One context a direction, as a change of direction would expand the key again. */
interface ContextPair {
  readonly encrypt: number
  readonly decrypt: number
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

function contextPair(library: Evp, name: string, key: Uint8Array): ContextPair | undefined {
  const cipher = library.cipher(name)
  if (cipher === 0) return undefined
  return withKey(key, (address) => {
    const encrypt = library.newCipherContext()
    const decrypt = library.newCipherContext()
    if (
      encrypt !== 0 &&
      decrypt !== 0 &&
      library.setKey(encrypt, cipher, address, true) &&
      library.setKey(decrypt, cipher, address, false)
    )
      return { encrypt, decrypt }
    if (encrypt !== 0) library.freeCipherContext(encrypt)
    if (decrypt !== 0) library.freeCipherContext(decrypt)
    return undefined
  })
}

/** Freeing a context makes libcrypto wipe the key schedule in it (EVP_CIPHER_CTX_free(3)). */
function free(library: Evp, contexts: ContextPair): void {
  library.freeCipherContext(contexts.encrypt)
  library.freeCipherContext(contexts.decrypt)
}

class OpensslAead implements Aead {
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly base: number

  constructor(library: Evp, contexts: ContextPair, slab: Slab) {
    this.evp = library
    this.contexts = contexts
    this.base = slab.address
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.base
    this.evp.seal(this.contexts.encrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv)
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
    return this.evp.open(this.contexts.decrypt, b + nonce, b + aad, aadLen, b + src, len, b + dst, b + icv)
  }

  destroy(): void {
    free(this.evp, this.contexts)
  }
}

class OpensslCbc implements Cipher {
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly base: number

  constructor(library: Evp, contexts: ContextPair, slab: Slab) {
    this.evp = library
    this.contexts = contexts
    this.base = slab.address
  }

  encrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.base
    this.evp.encrypt(this.contexts.encrypt, b + iv, b + src, len, b + dst)
  }

  decrypt(iv: number, src: number, len: number, dst: number): void {
    const b = this.base
    this.evp.decrypt(this.contexts.decrypt, b + iv, b + src, len, b + dst)
  }

  destroy(): void {
    free(this.evp, this.contexts)
  }
}

class OpensslHmac implements Mac {
  readonly icvLength: number
  private readonly evp: Evp
  private readonly context: number
  private readonly slab: Slab
  /** The whole HMAC, before truncation. */
  private readonly memory = new NativeMemory(MAC_MAX)

  constructor(library: Evp, context: number, icvLength: number, slab: Slab) {
    this.evp = library
    this.context = context
    this.icvLength = icvLength
    this.slab = slab
  }

  private hmac(at: number, len: number, tail: number, tailLen: number): Uint8Array {
    const b = this.slab.address
    this.evp.hmac(this.context, b + at, len, b + tail, tailLen, this.memory.address)
    return this.memory.bytes
  }

  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void {
    const full = this.hmac(at, len, tail, tailLen)
    const out = this.slab.bytes
    for (let i = 0; i < this.icvLength; i++) out[icv + i] = full[i]!
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    const full = this.hmac(at, len, tail, tailLen)
    const given = this.slab.bytes
    let diff = 0
    for (let i = 0; i < this.icvLength; i++) diff |= full[i]! ^ given[icv + i]!
    return diff === 0
  }

  destroy(): void {
    this.evp.freeHmac(this.context)
    this.memory.bytes.fill(0)
  }
}
