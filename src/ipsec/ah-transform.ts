import type { Slab } from '../bytes/slab.js'
import type { Aead, Mac } from '../crypto/types.js'
import { SALTED_IV_LEN, SaltedNonce } from './salted-nonce.js'
import { ESN_TAIL, ipsecScratch, SAVED_ICV } from './scratch.js'

/**
 * The integrity algorithm of one AH SA, bound to its key. The packet lies at `at` with its mutable fields zero; the ICV field
 * at `icv` lies inside it. Up to four octets behind the packet are changed during a call and are again what they were when it
 * returns. Nothing is allocated and nothing is thrown.
 */
export interface AhTransform {
  /** Octets of the ICV field without its padding. */
  readonly icvLength: number
  /** Fills the ICV field, which is zero. @param high high half of the sequence number, 0 without ESN */
  seal(at: number, length: number, icv: number, high: number, low: number): void
  /** Checks the ICV; the field is zero afterwards. */
  open(at: number, length: number, icv: number, high: number): boolean
  /** Wipes the key. */
  destroy(): void
}

/** An HMAC or another plain MAC over the packet, then the high half of an extended number (RFC 4302 section 3.3.3). */
export class MacAhTransform implements AhTransform {
  readonly icvLength: number
  private readonly slab: Slab
  private readonly mac: Mac
  private readonly tail: number
  private readonly tailLength: number
  private readonly saved: number

  constructor(slab: Slab, mac: Mac, esn: boolean) {
    this.slab = slab
    this.mac = mac
    this.icvLength = mac.icvLength
    this.tail = ipsecScratch(slab) + ESN_TAIL
    this.tailLength = esn ? 4 : 0
    this.saved = ipsecScratch(slab) + SAVED_ICV
  }

  seal(at: number, length: number, icv: number, high: number): void {
    this.slab.view.setUint32(this.tail, high)
    // The ICV is written only when all of the input has been read.
    this.mac.compute(at, length, this.tail, this.tailLength, icv)
  }

  open(at: number, length: number, icv: number, high: number): boolean {
    const b = this.slab.bytes
    b.copyWithin(this.saved, icv, icv + this.icvLength)
    b.fill(0, icv, icv + this.icvLength)
    this.slab.view.setUint32(this.tail, high)
    return this.mac.verify(at, length, this.tail, this.tailLength, this.saved)
  }

  destroy(): void {
    this.mac.destroy()
  }
}

/**
 * AES-GMAC (RFC 4543 section 4): the ICV field holds the IV and behind it the ICV. The AAD is the packet with the IV in its place
 * and zeros for the ICV, then the high half of an extended number.
 */
export class GmacAhTransform implements AhTransform {
  readonly icvLength: number
  private readonly slab: Slab
  private readonly aead: Aead
  private readonly nonce: SaltedNonce
  private readonly tailLength: number
  private readonly saved: number

  /** @param aead AES-GCM-16 */
  constructor(slab: Slab, aead: Aead, salt: Uint8Array, esn: boolean) {
    this.slab = slab
    this.aead = aead
    this.icvLength = SALTED_IV_LEN + aead.icvLength
    this.nonce = new SaltedNonce(slab, salt)
    this.tailLength = esn ? 4 : 0
    this.saved = ipsecScratch(slab) + SAVED_ICV
  }

  seal(at: number, length: number, icv: number, high: number, low: number): void {
    this.nonce.makeAndSend(high, low, icv)
    const end = at + length
    const aadLength = length + this.tailLength
    // Without room for the tail the ICV stays zero, which nobody accepts.
    if (at + aadLength > this.slab.bytes.length) return
    const behind = this.extend(end, high)
    this.aead.seal(this.nonce.at, at, aadLength, end, 0, end, icv + SALTED_IV_LEN)
    this.restore(end, behind)
  }

  open(at: number, length: number, icv: number, high: number): boolean {
    const b = this.slab.bytes
    const end = at + length
    const aadLength = length + this.tailLength
    if (at + aadLength > b.length) return false
    this.nonce.makeFrom(icv)
    const received = icv + SALTED_IV_LEN
    b.copyWithin(this.saved, received, icv + this.icvLength)
    b.fill(0, received, icv + this.icvLength)
    const behind = this.extend(end, high)
    const authentic = this.aead.open(this.nonce.at, at, aadLength, end, 0, end, this.saved)
    this.restore(end, behind)
    b.fill(0, icv, received)
    return authentic
  }

  /** The AAD is one piece: the high half stands behind the packet for the time of the call. @returns what stood there */
  private extend(end: number, high: number): number {
    if (this.tailLength === 0) return 0
    const behind = this.slab.view.getUint32(end)
    this.slab.view.setUint32(end, high)
    return behind
  }

  private restore(end: number, behind: number): void {
    if (this.tailLength !== 0) this.slab.view.setUint32(end, behind)
  }

  destroy(): void {
    this.nonce.wipe()
    this.aead.destroy()
  }
}
