import type { Slab } from '../bytes/slab.js'

// The ciphers as the data path sees them. Every object is bound to one slab and one key at creation; its methods take
// offsets into that slab, allocate nothing and never throw. Source and destination may be the same place or places that
// do not overlap. `destroy` wipes the key schedule and frees what is native; no method may be called after it.

/** Authenticated encryption: AES-GCM-16 (RFC 4106), ChaCha20-Poly1305 (RFC 7634). Nonces are 12 octets: salt | IV. */
export interface Aead {
  /**
   * Encrypts `len` octets at `src` to `dst` and writes the 16-octet ICV at `icv`. `len` 0 gives a MAC over the AAD alone
   * (GMAC, RFC 4543).
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

/** Unauthenticated cipher in CBC mode (RFC 3602). `len` is a multiple of 16. */
export interface Cipher {
  encrypt(iv: number, src: number, len: number, dst: number): void
  decrypt(iv: number, src: number, len: number, dst: number): void
  destroy(): void
}

/** Keyed integrity function, e.g. HMAC-SHA2-256-128 (RFC 4868). */
export interface Mac {
  /** Octets of the ICV, after truncation. */
  readonly icvLength: number
  /** ICV over `len` octets at `at` followed by `tailLen` octets at `tail` (ESN high half; 0 for none), written at `icv`. */
  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void
  /** Computes the same and compares it in constant time with the ICV at `icv`, which is left as it is. */
  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean
  destroy(): void
}

export type EngineName = 'ipsec-mb' | 'openssl' | 'noble'

/** One implementation of the ciphers. A method returns undefined when the engine does not have the algorithm. */
export interface CryptoEngine {
  readonly name: EngineName
  /** What exactly was found, for logs and `status`: a library's version, for example. */
  readonly detail: string
  /** @param id IANA ENCR id. @param key without the salt. The key is copied; the caller wipes its own. */
  aead(id: number, key: Uint8Array, slab: Slab): Aead | undefined
  /** @param id IANA ENCR id of a CBC cipher. */
  cipher(id: number, key: Uint8Array, slab: Slab): Cipher | undefined
  /** @param id IANA INTEG id. */
  mac(id: number, key: Uint8Array, slab: Slab): Mac | undefined
}
