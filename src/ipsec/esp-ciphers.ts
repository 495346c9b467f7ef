import type { Slab } from '../bytes/slab.js'
import type { Cipher, Mac } from '../crypto/types.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import type { EspIv } from './esp-iv.js'
import type { EspTransform } from './esp-transform.js'
import { ESN_TAIL, ipsecScratch } from './scratch.js'

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

/** AES-CBC (RFC 3602) or AES-CTR (RFC 3686) with a separate integrity algorithm, without which it would be worth nothing. */
export class CipherMacTransform implements EspTransform {
  readonly ivLength: number
  readonly icvLength: number
  readonly alignment: number
  private readonly iv: EspIv
  private readonly cipher: Cipher
  private readonly mac: EspMac
  /** Octets in front of the ciphertext. */
  private readonly front: number

  constructor(iv: EspIv, cipher: Cipher, mac: EspMac, alignment: number) {
    this.iv = iv
    this.cipher = cipher
    this.mac = mac
    this.ivLength = iv.length
    this.icvLength = mac.icvLength
    this.alignment = alignment
    this.front = ESP_HEADER_LEN + iv.length
  }

  seal(esp: number, src: number, length: number, high: number, low: number): void {
    this.cipher.encrypt(this.iv.make(esp, high, low), src, length, esp + this.front)
    this.mac.compute(esp, this.front + length, high)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    if (!this.mac.verify(esp, this.front + length, high)) return false
    this.cipher.decrypt(this.iv.received(esp), esp + this.front, length, dst)
    return true
  }

  destroy(): void {
    this.iv.wipe()
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
