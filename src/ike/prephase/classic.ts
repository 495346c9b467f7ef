import { equalSecret } from '../../bytes/octets.js'
import { classicHash, classicMask, classicPsk } from './derive.js'
import { emitPrephase, type MessageOf, NO_COOKIE, NOTIFY_CONNECTED, VENDOR_ID } from './messages.js'
import type { Answered, Confirmed, FreshKeys, Opened, PairCode, Proved } from './pair-code.js'

/**
 * The exchange as published: nonces masked with K_ab itself, proofs that are plain hashes of the nonces. It is here to
 * be faithful and to be measured. It authenticates nobody: whoever sends any 32 octets c as step 1 receives
 * SHA-256(c xor K_ab), which is all that a proof consists of.
 */
export class ClassicCode implements PairCode {
  readonly scheme = 'classic'
  /** Aliases the configuration's K_ab. */
  private readonly key: Uint8Array

  constructor(key: Uint8Array) {
    this.key = key
  }

  step1(ci: Uint8Array, ida: Uint8Array, na: Uint8Array): Uint8Array {
    return emitPrephase('classic', 1, ci, NO_COOKIE, [VENDOR_ID.classic, ida, classicMask(this.key, na)])
  }

  openStep1(_ci: Uint8Array, m: MessageOf<1>): Uint8Array {
    return classicMask(this.key, m.nonce)
  }

  step2(o: Opened, cr: Uint8Array, nb: Uint8Array): Uint8Array {
    const bodies = [VENDOR_ID.classic, o.idb, classicHash(o.na), classicMask(this.key, nb)]
    return emitPrephase('classic', 2, o.ci, cr, bodies)
  }

  openStep2(o: Opened, _cr: Uint8Array, m: MessageOf<2>): Uint8Array | undefined {
    return equalSecret(m.hash, classicHash(o.na)) ? classicMask(this.key, m.nonce) : undefined
  }

  step3(a: Answered): Uint8Array {
    return emitPrephase('classic', 3, a.ci, a.cr, [classicHash(a.nb)])
  }

  checkStep3(a: Answered, m: MessageOf<3>): boolean {
    return equalSecret(m.hash, classicHash(a.nb))
  }

  /** An acknowledgement only, so that a lost step 3 is sent again; the published exchange ends with step 3. */
  step4(p: Proved): Uint8Array {
    return emitPrephase('classic', 4, p.ci, p.cr, [NOTIFY_CONNECTED])
  }

  checkStep4(_p: Proved, m: MessageOf<4>): boolean {
    return m.scheme === 'classic'
  }

  keys(c: Confirmed): FreshKeys {
    return { psk: classicPsk(c.na, c.nb), ppk: undefined }
  }

  destroy(): void {
    // K_ab is the configuration's, and nothing is derived from it.
  }
}
