import type { Slab } from '../bytes/slab.js'
import type { CryptoEngine, Mac } from '../crypto/types.js'
import type { SaSpec } from '../sadb/sa-spec.js'
import { createMac } from './esp-transform.js'
import { ESN_TAIL, ipsecScratch, SAVED_ICV } from './scratch.js'

/**
 * The integrity algorithm of one AH SA, bound to its key. The packet lies at `at` with its mutable fields zero; the ICV field
 * at `icv` lies inside it. Nothing is allocated and nothing is thrown.
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
class MacAhTransform implements AhTransform {
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

/** Binds the algorithm of a checked AH SA to its key. @throws CryptoError when no engine has it */
export function createAhTransform(spec: SaSpec, engines: readonly CryptoEngine[], slab: Slab): AhTransform {
  return new MacAhTransform(slab, createMac(spec, engines, slab), spec.esn)
}
