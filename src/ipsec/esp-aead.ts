import type { Slab } from '../bytes/slab.js'
import type { Aead } from '../crypto/types.js'
import { ESP_HEADER_LEN } from '../wire/esp.js'
import type { EspTransform } from './esp-transform.js'
import { SALTED_IV_LEN, SaltedNonce } from './salted-nonce.js'
import { AAD, ipsecScratch } from './scratch.js'

/** What an AEAD is given beside the text: nonce and AAD of one packet (RFC 4106 sections 4 and 5, RFC 4309, RFC 7634). */
export class AeadInput {
  /** Slab offsets, of the packet that `sent` or `received` was called for last. */
  readonly nonce: number
  aad = 0
  readonly aadLength: number
  private readonly slab: Slab
  private readonly salted: SaltedNonce
  private readonly extended: number

  constructor(slab: Slab, salt: Uint8Array, esn: boolean) {
    this.slab = slab
    this.salted = new SaltedNonce(slab, salt)
    this.nonce = this.salted.at
    this.aadLength = esn ? 12 : ESP_HEADER_LEN
    this.extended = ipsecScratch(slab) + AAD
  }

  /** Writes the packet's IV. */
  sent(esp: number, high: number, low: number): void {
    this.salted.makeAndSend(high, low, esp + ESP_HEADER_LEN)
    this.cover(esp, high)
  }

  received(esp: number, high: number): void {
    this.salted.makeFrom(esp + ESP_HEADER_LEN)
    this.cover(esp, high)
  }

  /** SPI and sequence number, all 64 bits of it with ESN. */
  private cover(esp: number, high: number): void {
    this.aad = esp
    if (this.aadLength === ESP_HEADER_LEN) return
    const v = this.slab.view
    this.aad = this.extended
    v.setUint32(this.aad, v.getUint32(esp))
    v.setUint32(this.aad + 4, high)
    v.setUint32(this.aad + 8, v.getUint32(esp + 4))
  }

  wipe(): void {
    this.salted.wipe()
  }
}

/** AES-GCM-16 (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634). */
export class AeadTransform implements EspTransform {
  readonly ivLength = SALTED_IV_LEN
  readonly icvLength: number
  readonly alignment = 4
  private readonly aead: Aead
  private readonly input: AeadInput

  constructor(aead: Aead, input: AeadInput) {
    this.aead = aead
    this.icvLength = aead.icvLength
    this.input = input
  }

  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const { input } = this
    input.sent(esp, high, low)
    const dst = esp + ESP_HEADER_LEN + SALTED_IV_LEN
    this.aead.seal(input.nonce, input.aad, input.aadLength, src, length, dst, dst + length)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    const { input } = this
    input.received(esp, high)
    const src = esp + ESP_HEADER_LEN + SALTED_IV_LEN
    return this.aead.open(input.nonce, input.aad, input.aadLength, src, length, dst, src + length)
  }

  destroy(): void {
    this.input.wipe()
    this.aead.destroy()
  }
}

/** ENCR_NULL_AUTH_AES_GMAC (RFC 4543): nothing is encrypted; the whole packet, IV included, is AAD. */
export class GmacTransform implements EspTransform {
  readonly ivLength = SALTED_IV_LEN
  readonly icvLength: number
  readonly alignment = 4
  private readonly slab: Slab
  private readonly aead: Aead
  private readonly esn: boolean
  private readonly nonce: SaltedNonce
  /** What `extend` overwrote. */
  private before = 0

  /** @param aead AES-GCM-16 */
  constructor(slab: Slab, aead: Aead, salt: Uint8Array, esn: boolean) {
    this.slab = slab
    this.aead = aead
    this.icvLength = aead.icvLength
    this.esn = esn
    this.nonce = new SaltedNonce(slab, salt)
  }

  seal(esp: number, src: number, length: number, high: number, low: number): void {
    const iv = esp + ESP_HEADER_LEN
    this.nonce.makeAndSend(high, low, iv)
    const dst = iv + SALTED_IV_LEN
    if (src !== dst) this.slab.bytes.copyWithin(dst, src, src + length)
    const end = dst + length
    if (this.esn) {
      const aad = this.extend(esp, high)
      this.aead.seal(this.nonce.at, aad, end - aad, end, 0, end, end)
      this.restore(esp)
    } else this.aead.seal(this.nonce.at, esp, end - esp, end, 0, end, end)
  }

  open(esp: number, length: number, dst: number, high: number): boolean {
    const iv = esp + ESP_HEADER_LEN
    this.nonce.makeFrom(iv)
    const src = iv + SALTED_IV_LEN
    const end = src + length
    let authentic: boolean
    if (this.esn) {
      const aad = this.extend(esp, high)
      authentic = this.aead.open(this.nonce.at, aad, end - aad, end, 0, end, end)
      this.restore(esp)
    } else authentic = this.aead.open(this.nonce.at, esp, end - esp, end, 0, end, end)
    if (authentic && src !== dst) this.slab.bytes.copyWithin(dst, src, end)
    return authentic
  }

  /**
   * The AAD is one piece, with the high half of the sequence number between SPI and low half: for the time of the call the SPI
   * moves to the four octets in front of the packet. Where a packet stands there always are some, those of the scratch area at
   * the least.
   * @returns where the AAD begins
   */
  private extend(esp: number, high: number): number {
    const v = this.slab.view
    this.before = v.getUint32(esp - 4)
    v.setUint32(esp - 4, v.getUint32(esp))
    v.setUint32(esp, high)
    return esp - 4
  }

  private restore(esp: number): void {
    const v = this.slab.view
    v.setUint32(esp, v.getUint32(esp - 4))
    v.setUint32(esp - 4, this.before)
  }

  destroy(): void {
    this.nonce.wipe()
    this.aead.destroy()
  }
}
