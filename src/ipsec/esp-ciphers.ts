import type { Slab } from '../bytes/slab.js'
import type { Cipher, Mac } from '../crypto/types.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import type { EspTransform } from './esp-transform.js'
import { SALTED_IV_LEN, SaltedNonce } from './salted-nonce.js'
import { ESN_TAIL, IV_BLOCK, ipsecScratch, ZERO_BLOCK } from './scratch.js'

// ESP with an integrity algorithm beside the cipher: encrypt, then MAC (RFC 4303 section 3.3.2).

/** What the ICV of a separate integrity algorithm covers: from the SPI to the trailer, then the high half (RFC 4303 section 2.8). */
export class EspMac {
  private readonly slab: Slab
  private readonly mac: Mac
  private readonly tail: number
  private readonly tailLength: number

  constructor(slab: Slab, mac: Mac, esn: boolean) {
    this.slab = slab
    this.mac = mac
    this.tail = ipsecScratch(slab) + ESN_TAIL
    this.tailLength = esn ? 4 : 0
  }

  get icvLength(): number {
    return this.mac.icvLength
  }

  compute(esp: number, length: number, high: number): void {
    this.slab.view.setUint32(this.tail, high)
    this.mac.compute(esp, length, this.tail, this.tailLength, esp + length)
  }

  verify(esp: number, length: number, high: number): boolean {
    this.slab.view.setUint32(this.tail, high)
    return this.mac.verify(esp, length, this.tail, this.tailLength, esp + length)
  }

  destroy(): void {
    this.mac.destroy()
  }
}

/** AES-CBC (RFC 3602) with a separate integrity algorithm, encrypt then MAC. */
export class CbcTransform implements EspTransform {
  readonly ivLength = 16
  readonly icvLength: number
  readonly alignment = 16
  private readonly slab: Slab
  private readonly cipher: Cipher
  private readonly mac: EspMac
  private readonly zero: number
  private readonly block: number
  /** First half of the block that an IV is made of. */
  private readonly ivSalt: readonly [number, number]

  constructor(slab: Slab, cipher: Cipher, mac: EspMac, ivSalt: readonly [number, number]) {
    this.slab = slab
    this.cipher = cipher
    this.mac = mac
    this.icvLength = mac.icvLength
    this.zero = ipsecScratch(slab) + ZERO_BLOCK
    this.block = ipsecScratch(slab) + IV_BLOCK
    this.ivSalt = ivSalt
  }

  /**
   * CBC needs an IV that nobody can foretell (RFC 3602 section 3). It is made as NIST SP 800-38A appendix C allows, by encrypting a
   * block that never comes twice under the key: the SA's IV salt and the sequence number.
   */
  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const v = this.slab.view
    v.setUint32(this.block, this.ivSalt[0])
    v.setUint32(this.block + 4, this.ivSalt[1])
    v.setUint32(this.block + 8, high)
    v.setUint32(this.block + 12, low)
    this.slab.bytes.fill(0, this.zero, this.zero + 16)
    const iv = esp + ESP_HEADER_LEN
    this.cipher.encrypt(this.zero, this.block, 16, iv)
    this.cipher.encrypt(iv, src, length, iv + 16)
    this.mac.compute(esp, ESP_HEADER_LEN + 16 + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, ESP_HEADER_LEN + 16 + length, high)) return false
    const iv = esp + ESP_HEADER_LEN
    this.cipher.decrypt(iv, iv + 16, length, dst)
    return true
  }

  destroy(): void {
    this.cipher.destroy()
    this.mac.destroy()
  }
}

/** AES-CTR (RFC 3686) with a separate integrity algorithm, without which it would be worth nothing. */
export class CtrTransform implements EspTransform {
  readonly ivLength = SALTED_IV_LEN
  readonly icvLength: number
  readonly alignment = 4
  private readonly slab: Slab
  private readonly cipher: Cipher
  private readonly mac: EspMac
  private readonly nonce: SaltedNonce

  constructor(slab: Slab, cipher: Cipher, mac: EspMac, salt: Uint8Array) {
    this.slab = slab
    this.cipher = cipher
    this.mac = mac
    this.icvLength = mac.icvLength
    this.nonce = new SaltedNonce(slab, salt)
  }

  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const iv = esp + ESP_HEADER_LEN
    this.nonce.makeAndSend(high, low, iv)
    this.cipher.encrypt(this.counterBlock(), src, length, iv + SALTED_IV_LEN)
    this.mac.compute(esp, ESP_HEADER_LEN + SALTED_IV_LEN + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, ESP_HEADER_LEN + SALTED_IV_LEN + length, high)) return false
    const iv = esp + ESP_HEADER_LEN
    this.nonce.makeFrom(iv)
    this.cipher.decrypt(this.counterBlock(), iv + SALTED_IV_LEN, length, dst)
    return true
  }

  /** Behind the nonce stands the counter of blocks, which begins with 1 (RFC 3686 section 4). */
  private counterBlock(): number {
    this.slab.view.setUint32(this.nonce.at + 12, 1)
    return this.nonce.at
  }

  destroy(): void {
    this.nonce.wipe()
    this.cipher.destroy()
    this.mac.destroy()
  }
}

/** NULL encryption (RFC 2410) with an integrity algorithm. */
export class NullTransform implements EspTransform {
  readonly ivLength = 0
  readonly icvLength: number
  readonly alignment = 4
  private readonly slab: Slab
  private readonly mac: EspMac

  constructor(slab: Slab, mac: EspMac) {
    this.slab = slab
    this.mac = mac
    this.icvLength = mac.icvLength
  }

  seal(esp: number, src: number, length: number, high: number): void {
    const dst = esp + ESP_HEADER_LEN
    if (src !== dst) this.slab.bytes.copyWithin(dst, src, src + length)
    this.mac.compute(esp, ESP_HEADER_LEN + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, ESP_HEADER_LEN + length, high)) return false
    const src = esp + ESP_HEADER_LEN
    if (src !== dst) this.slab.bytes.copyWithin(dst, src, src + length)
    return true
  }

  destroy(): void {
    this.mac.destroy()
  }
}
