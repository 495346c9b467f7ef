import type { Slab } from '../bytes/slab.js'

// The ciphers as the data path sees them. Every object is bound to one slab and one key at creation; its methods take
// offsets into that slab, allocate nothing and never throw. Source and destination may be the same place or places that
// do not overlap. `destroy` wipes the key schedule and frees what is native; no method may be called after it.

/**
 * Authenticated encryption: AES-GCM-16 (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634). A nonce is salt | IV.
 * AES-GMAC (RFC 4543) is AES-GCM-16 with `len` 0.
 */
export interface Aead {
  /** Octets of a nonce: 11 for CCM, 12 for the others. */
  readonly nonceLength: number
  readonly icvLength: number
  /**
   * Encrypts `len` octets at `src` to `dst` and writes the ICV at `icv`. `len` 0 gives a MAC over the AAD alone. The AAD has at
   * least one octet, for CCM less than 65280.
   */
  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void
  /** Decrypts and compares the ICV in constant time. On false the destination's octets mean nothing. */
  open(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): boolean
  destroy(): void
}

/**
 * Unauthenticated cipher. CBC mode (RFC 3602): `len` is a multiple of 16. CTR mode (RFC 3686): `len` is any, and `iv` the
 * whole first counter block, nonce | IV | 1.
 */
export interface Cipher {
  encrypt(iv: number, src: number, len: number, dst: number): void
  decrypt(iv: number, src: number, len: number, dst: number): void
  destroy(): void
}

/** Keyed integrity function: HMAC (RFC 4868), AES-XCBC-96 (RFC 3566), AES-CMAC-96 (RFC 4494). */
export interface Mac {
  /** Octets of the ICV, after truncation. */
  readonly icvLength: number
  /**
   * ICV over `len` octets at `at` followed by `tailLen` octets at `tail` (ESN high half; 0 for none, at most 16), written at
   * `icv`.
   */
  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void
  /** Computes the same and compares it in constant time with the ICV at `icv`, which is left as it is. */
  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean
  destroy(): void
}

/**
 * Packets of any SAs that are protected or opened together, in few native calls: where an algorithm works on many packets at
 * once, or a call costs as much as its work, this is faster than one by one. What was added is done when `run` returns; until then
 * its octets and its AAD must stay as they are, and the destinations mean nothing. One lane has the queue to itself.
 */
export interface CryptoQueue {
  /** Most packets of one run. */
  readonly capacity: number
  /** Packets added since the last run. */
  readonly length: number
  /** As CryptoEngine.aead, and undefined for the same reasons. */
  aead(id: number, key: Uint8Array): QueuedAead | undefined
  /**
   * A cipher with an integrity algorithm beside it, encrypt then MAC.
   * @param encr IANA ENCR id: AES-CBC, AES-CTR or NULL. @param tailLength octets that the MAC covers behind the text: 0 or 4
   */
  cipherMac(
    encr: number,
    cipherKey: Uint8Array,
    integ: number,
    macKey: Uint8Array,
    tailLength: 0 | 4,
  ): QueuedCipherMac | undefined
  run(): void
  /**
   * Of the last run's packet `index`, as adding it returned: whether it was sealed, or authentic. Of one that could not be
   * sealed all that was written is zeros.
   */
  done(index: number): boolean
}

/** As Aead, later. Nonces, and an AAD of 8 or 12 octets, are copied at once. Each returns the packet's index, -1 when the queue is full. */
export interface QueuedAead {
  readonly nonceLength: number
  readonly icvLength: number
  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): number
  open(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): number
  /** Wipes the keys. What is in the queue by then fails. */
  destroy(): void
}

/** The IV (16 octets; none for NULL) is copied at once. Each returns the packet's index, -1 when the queue is full. */
export interface QueuedCipherMac {
  readonly icvLength: number
  /**
   * Encrypts `len` octets at `at` in place, and writes behind them the ICV over all from `from` on, and over the tail.
   * @param tail u32, when there is one: it is what the MAC covers last
   */
  seal(iv: number, from: number, at: number, len: number, tail: number): number
  /** Checks the ICV behind the text, and decrypts to `dst`, which with NULL is the text's own place. */
  open(iv: number, from: number, at: number, len: number, dst: number, tail: number): number
  destroy(): void
}

export type EngineName = 'ipsec-mb' | 'openssl' | 'noble'

/** One implementation of the ciphers. A method returns undefined when the engine does not have the algorithm. */
export interface CryptoEngine {
  readonly name: EngineName
  /** What exactly was found, for logs and `status`: a library's version, for example. */
  readonly detail: string
  /** @param id IANA ENCR id of an AEAD. @param key without the salt. The key is copied; the caller wipes its own. */
  aead(id: number, key: Uint8Array, slab: Slab): Aead | undefined
  /** @param id IANA ENCR id of a cipher in CBC or CTR mode. @param key without the nonce. */
  cipher(id: number, key: Uint8Array, slab: Slab): Cipher | undefined
  /** @param id IANA INTEG id; none of GMAC, which has a nonce: see Aead. */
  mac(id: number, key: Uint8Array, slab: Slab): Mac | undefined
  /** A new queue. Absent, or undefined, where packets one by one are as fast. */
  queue?(slab: Slab): CryptoQueue | undefined
}
