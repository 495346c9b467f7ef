import type { Slab } from '../bytes/slab.js'
import type { Cipher } from '../crypto/types.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import { SALTED_IV_LEN, SaltedNonce } from './salted-nonce.js'
import { IV_BLOCK, ipsecScratch, ZERO_BLOCK } from './scratch.js'

/** How the packets of a cipher without authentication of its own get their IVs. Offsets are into the SA's slab. */
export interface EspIv {
  /** Octets on the wire, behind the ESP header. */
  readonly length: number
  /** Writes the IV of the packet at `esp`. @returns offset of the 16 octets that the cipher begins with */
  make(esp: number, high: number, low: number): number
  /** The same for a packet received. */
  received(esp: number): number
  wipe(): void
}

/**
 * AES-CBC. It needs an IV that nobody can foretell (RFC 3602 section 3), made as NIST SP 800-38A appendix C allows: by encrypting a
 * block that never comes twice under the key, the SA's IV salt and the sequence number.
 */
export class CbcIv implements EspIv {
  readonly length = 16
  private readonly slab: Slab
  private readonly cipher: Cipher
  private readonly zero: number
  private readonly block: number
  private readonly salt: readonly [number, number]

  /** @param cipher of the SA; the caller destroys it */
  constructor(slab: Slab, cipher: Cipher, salt: readonly [number, number]) {
    this.slab = slab
    this.cipher = cipher
    this.zero = ipsecScratch(slab) + ZERO_BLOCK
    this.block = ipsecScratch(slab) + IV_BLOCK
    this.salt = salt
  }

  make(esp: number, high: number, low: number): number {
    const v = this.slab.view
    v.setUint32(this.block, this.salt[0])
    v.setUint32(this.block + 4, this.salt[1])
    v.setUint32(this.block + 8, high)
    v.setUint32(this.block + 12, low)
    this.slab.bytes.fill(0, this.zero, this.zero + 16)
    const iv = esp + ESP_HEADER_LEN
    this.cipher.encrypt(this.zero, this.block, 16, iv)
    return iv
  }

  received(esp: number): number {
    return esp + ESP_HEADER_LEN
  }

  wipe(): void {}
}

/** AES-CTR: nonce, IV, and a counter of blocks that begins with 1 (RFC 3686 section 4). */
export class CtrIv implements EspIv {
  readonly length = SALTED_IV_LEN
  private readonly slab: Slab
  private readonly nonce: SaltedNonce

  constructor(slab: Slab, salt: Uint8Array) {
    this.slab = slab
    this.nonce = new SaltedNonce(slab, salt)
  }

  make(esp: number, high: number, low: number): number {
    this.nonce.makeAndSend(high, low, esp + ESP_HEADER_LEN)
    return this.block()
  }

  received(esp: number): number {
    this.nonce.makeFrom(esp + ESP_HEADER_LEN)
    return this.block()
  }

  private block(): number {
    this.slab.view.setUint32(this.nonce.at + 12, 1)
    return this.nonce.at
  }

  wipe(): void {
    this.nonce.wipe()
  }
}

/** NULL encryption has none (RFC 2410). */
export const NO_IV: EspIv = { length: 0, make: () => 0, received: () => 0, wipe: () => {} }
