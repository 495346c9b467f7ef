import { equalSecret, wipe } from '../../bytes/octets.js'
import {
  extractPair,
  hardenedKeys,
  maskInitiator,
  maskResponder,
  step1Hash,
  step1Key,
  step2Hash,
  step3Hash,
  step4Hash,
} from './derive.js'
import { emitPrephase, fillHash, type MessageOf, NO_COOKIE, NO_HASH, VENDOR_ID } from './messages.js'
import type { Answered, Confirmed, FreshKeys, Opened, PairCode, Proved } from './pair-code.js'
import { LABEL_LEN } from './tai64n.js'

/**
 * The hardened exchange: the same four steps, but every message carries a MAC, every proof covers all messages so far
 * under a key of its own role, and masks are pseudorandom and never used twice.
 */
export class HardenedCode implements PairCode {
  readonly scheme = 'hardened'
  private readonly p: Uint8Array
  private readonly mac1: Uint8Array

  constructor(key: Uint8Array) {
    this.p = extractPair(key)
    this.mac1 = step1Key(this.p)
  }

  step1(ci: Uint8Array, ida: Uint8Array, na: Uint8Array, label: Uint8Array): Uint8Array {
    const nonce = new Uint8Array(LABEL_LEN + na.length)
    nonce.set(label)
    nonce.set(maskInitiator(this.p, ci, ida, label, na), LABEL_LEN)
    const m1 = emitPrephase('hardened', 1, ci, NO_COOKIE, [VENDOR_ID.hardened, ida, nonce, NO_HASH])
    return fillHash(m1, step1Hash(this.mac1, m1))
  }

  openStep1(ci: Uint8Array, m: MessageOf<1>, message: Uint8Array): Uint8Array | undefined {
    if (!equalSecret(m.hash, step1Hash(this.mac1, message))) return undefined
    return maskInitiator(this.p, ci, m.id, m.nonce.subarray(0, LABEL_LEN), m.nonce.subarray(LABEL_LEN))
  }

  step2(o: Opened, cr: Uint8Array, nb: Uint8Array): Uint8Array {
    const nonce = maskResponder(this.p, o.ci, cr, o.ida, o.idb, nb)
    const m2 = emitPrephase('hardened', 2, o.ci, cr, [VENDOR_ID.hardened, o.idb, nonce, NO_HASH])
    return fillHash(m2, step2Hash(this.p, o.na, o.m1, m2))
  }

  openStep2(o: Opened, cr: Uint8Array, m: MessageOf<2>, message: Uint8Array): Uint8Array | undefined {
    if (!equalSecret(m.hash, step2Hash(this.p, o.na, o.m1, message))) return undefined
    return maskResponder(this.p, o.ci, cr, o.ida, o.idb, m.nonce)
  }

  step3(a: Answered): Uint8Array {
    const m3 = emitPrephase('hardened', 3, a.ci, a.cr, [NO_HASH])
    return fillHash(m3, step3Hash(this.p, a.na, a.nb, { m1: a.m1, m2: a.m2, m3 }))
  }

  checkStep3(a: Answered, m: MessageOf<3>, message: Uint8Array): boolean {
    return equalSecret(m.hash, step3Hash(this.p, a.na, a.nb, { m1: a.m1, m2: a.m2, m3: message }))
  }

  step4(p: Proved): Uint8Array {
    const m4 = emitPrephase('hardened', 4, p.ci, p.cr, [NO_HASH])
    return fillHash(m4, step4Hash(this.p, p.na, p.nb, { ...p, m4 }))
  }

  checkStep4(p: Proved, m: MessageOf<4>, message: Uint8Array): boolean {
    return (
      m.scheme === 'hardened' && equalSecret(m.hash, step4Hash(this.p, p.na, p.nb, { ...p, m4: message }))
    )
  }

  keys(c: Confirmed): FreshKeys {
    return hardenedKeys(this.p, c.na, c.nb, c)
  }

  destroy(): void {
    wipe(this.p, this.mac1)
  }
}
