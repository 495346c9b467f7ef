import { equalOctets, wipe } from '../../bytes/octets.js'
import { prfLength, prfPlus } from '../../crypto/prf.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { NOTIFY } from '../../wire/ike/v2/numbers.js'
import type { Ppk } from '../ike-sa.js'
import type { Keying } from './keying.js'
import { notify, type PayloadSet } from './payload-set.js'

// Post-quantum preshared keys, RFC 8784: who records the exchange and breaks its key exchange later still lacks one part.
//
// Both ends say USE_PPK in IKE_SA_INIT. The initiator names its PPK in IKE_AUTH, and SK_d, SK_pi and SK_pr are mixed with it;
// where the PPK may be missing, NO_PPK_AUTH holds what AUTH would be without. SK_e and SK_a stay as they are.

/** PPK_IDENTITY: a type, of which only FIXED is of use between hosts that were configured, and the name (section 5.1). */
const FIXED = 2

export const usePpk = (ppk: Ppk | undefined): PayloadInit[] => (ppk === undefined ? [] : [notify('USE_PPK')])

/** The initiator's word on which PPK it uses. */
export const namePpk = (ppk: Ppk): PayloadInit => notify('PPK_IDENTITY', Uint8Array.of(FIXED, ...ppk.id))

/** The responder's word that it has used it. */
export const confirmPpk = (): PayloadInit => notify('PPK_IDENTITY')

/** Whether the peer names our PPK; undefined when it names none. */
export function namesPpk(set: PayloadSet, ppk: Ppk): boolean | undefined {
  const named = set.notify(NOTIFY.PPK_IDENTITY)?.data
  if (named === undefined) return undefined
  return named[0] === FIXED && equalOctets(named.subarray(1), ppk.id)
}

/**
 * The same keying with SK_d, SK_pi and SK_pr mixed with the PPK (section 3): prf+(PPK, SK_x), as long as before. Its encryption keys
 * are those of the old one, octets shared: whoever wipes either wipes both.
 */
export function mixed(k: Keying, ppk: Ppk): Keying {
  const { prf } = k.proposal
  const mix = (sk: Uint8Array): Uint8Array => prfPlus(prf, ppk.key, [sk], prfLength(prf))
  const { d, pi, pr } = k.keys
  return { ...k, keys: { ...k.keys, d: mix(d), pi: mix(pi), pr: mix(pr) } }
}

/** Wipes what two keyings of one exchange do not share: of the one that is not used. */
export const wipeUnshared = (k: Keying): void => wipe(k.keys.d, k.keys.pi, k.keys.pr)
