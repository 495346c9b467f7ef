import { wipe } from '../../bytes/octets.js'
import { encryptionInfo, integrityInfo } from '../../crypto/algorithms.js'
import { hasFixedKey, prf, prfLength, prfPlus } from '../../crypto/prf.js'
import type { ChildProposal, CipherChoice, IkeProposal } from '../proposals.js'

// The key schedule of RFC 7296 sections 2.13 to 2.18. Every secret returned is a new buffer that the caller wipes.

/** Keys of an IKE SA; its owner wipes them with wipeKeys. */
export interface SkKeys {
  /** Root of the keys of CHILD_SAs and of the IKE SA that takes this one's place. */
  readonly d: Uint8Array
  /** Integrity keys; empty with an AEAD. */
  readonly ai: Uint8Array
  readonly ar: Uint8Array
  /** Encryption keys with their salts. */
  readonly ei: Uint8Array
  readonly er: Uint8Array
  /** For AUTH. */
  readonly pi: Uint8Array
  readonly pr: Uint8Array
}

/** What both ends have said: nonces as in the payloads, SPIs of 8 octets. */
export interface SpisAndNonces {
  readonly spiI: Uint8Array
  readonly spiR: Uint8Array
  readonly ni: Uint8Array
  readonly nr: Uint8Array
}

export function wipeKeys(k: SkKeys): void {
  wipe(k.d, k.ai, k.ar, k.ei, k.er, k.pi, k.pr)
}

/**
 * SKEYSEED = prf(Ni | Nr, g^ir), RFC 7296 section 2.14.
 * @param gir shared secret, padded to the length of the group
 */
export function skeyseed(prfId: number, ni: Uint8Array, nr: Uint8Array, gir: Uint8Array): Uint8Array {
  // Half of a key of fixed length comes from each nonce.
  const part = hasFixedKey(prfId) ? prfLength(prfId) / 2 : undefined
  const key = new Uint8Array([...ni.subarray(0, part), ...nr.subarray(0, part)])
  return prf(prfId, key, gir)
}

const NONE = new Uint8Array(0)

/**
 * SKEYSEED of an IKE SA that takes another one's place: prf(SK_d, g^ir | Ni | Nr | SK(1)), RFC 7296 section 2.18 and RFC 9370
 * section 2.2.4.
 * @param prfId,d PRF and SK_d of the old one
 * @param second the second key exchange's secret; empty without
 */
export const rekeyedSkeyseed = (
  prfId: number,
  d: Uint8Array,
  gir: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
  second: Uint8Array = NONE,
): Uint8Array => prf(prfId, d, gir, ni, nr, second)

/** SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr). */
export function deriveKeys(p: IkeProposal, seed: Uint8Array, x: SpisAndNonces): SkKeys {
  const own = prfLength(p.prf)
  const integrity = integrityInfo(p.integrity)?.keyLength ?? 0
  const cipher = cipherKeyLength(p.encryption)
  const lengths = [own, integrity, integrity, cipher, cipher, own, own]
  const total = lengths.reduce((sum, n) => sum + n, 0)
  const all = prfPlus(p.prf, seed, [x.ni, x.nr, x.spiI, x.spiR], total)
  let at = 0
  const [d, ai, ar, ei, er, pi, pr] = lengths.map((n) => {
    at += n
    return all.slice(at - n, at)
  }) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  wipe(all)
  return { d, ai, ar, ei, er, pi, pr }
}

/** KEYMAT of the two directions of a CHILD_SA: initiator to responder of the exchange first. */
export interface ChildKeymat {
  readonly toResponder: Uint8Array
  readonly toInitiator: Uint8Array
}

/**
 * KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr [| SK(1)]), RFC 7296 section 2.17 and RFC 9370 section 2.2.4.
 * @param gir shared secret of the exchange's own key exchange; empty without
 * @param second that of the second one; empty without
 */
export function childKeymat(
  prfId: number,
  d: Uint8Array,
  gir: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
  proposal: ChildProposal,
  second: Uint8Array = NONE,
): ChildKeymat {
  const cipher = proposal.encryption === undefined ? 0 : cipherKeyLength(proposal.encryption)
  const one = cipher + (integrityInfo(proposal.integrity)?.keyLength ?? 0)
  const all = prfPlus(prfId, d, [gir, ni, nr, second], 2 * one)
  const out = { toResponder: all.slice(0, one), toInitiator: all.slice(one) }
  wipe(all)
  return out
}

/** Octets of a cipher's key and salt. */
function cipherKeyLength(c: CipherChoice): number {
  const info = encryptionInfo(c.id)
  if (info === undefined) return 0
  return (info.hasKeyLengthAttribute ? c.keyBits / 8 : info.keyLengths[0]!) + info.saltLength
}
