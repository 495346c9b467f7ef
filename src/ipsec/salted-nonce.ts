import type { Slab } from '../bytes/slab.js'
import { ipsecScratch, NONCE } from './scratch.js'

/** Octets of the IV of every mode that has a salt. */
export const SALTED_IV_LEN = 8

/**
 * The nonce of a counter mode: the SA's salt and the packet's IV. It is made anew for each packet, at a place that all SAs of a
 * slab share.
 */
export class SaltedNonce {
  /** Slab offset of the first octet of the salt. */
  readonly at: number
  private readonly view: DataView
  private readonly start: number
  private salt = 0

  /** @param salt 3 or 4 octets; not kept */
  constructor(slab: Slab, salt: Uint8Array) {
    this.view = slab.view
    this.start = ipsecScratch(slab) + NONCE
    this.at = this.start + 4 - salt.length
    for (const octet of salt) this.salt = ((this.salt << 8) | octet) >>> 0
  }

  /** @param high first half of the IV @param low second half */
  make(high: number, low: number): void {
    const v = this.view
    v.setUint32(this.start, this.salt)
    v.setUint32(this.start + 4, high)
    v.setUint32(this.start + 8, low)
  }

  /**
   * The IV is the sequence number: unique under the key, which is all that these modes ask (RFC 4106 section 3.1). It is written
   * to the packet, at `iv`.
   */
  makeAndSend(high: number, low: number, iv: number): void {
    this.make(high, low)
    this.view.setUint32(iv, high)
    this.view.setUint32(iv + 4, low)
  }

  makeFrom(iv: number): void {
    this.make(this.view.getUint32(iv), this.view.getUint32(iv + 4))
  }

  wipe(): void {
    this.salt = 0
    this.make(0, 0)
  }
}
