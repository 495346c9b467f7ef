import { concat, utf8, wipe } from '../../bytes/octets.js'
import { prf } from '../../crypto/prf.js'

// What the AUTH payloads prove, RFC 7296 section 2.15.

export interface AuthInput {
  readonly prfId: number
  /** The prover's own first message, from its SPI on: the request that was answered, or the response. */
  readonly message: Uint8Array
  /** The other end's nonce. */
  readonly nonce: Uint8Array
  /** SK_pi or SK_pr, the prover's. */
  readonly skp: Uint8Array
  /** The prover's ID payload body. */
  readonly id: Uint8Array
  /** What the exchanges between IKE_SA_INIT and IKE_AUTH add (RFC 9242 section 3.3.2); empty without any. */
  readonly intAuth?: Uint8Array
}

/** The octets that are signed or MACed: message | nonce | prf(SK_p, ID) [ | IntAuth]. */
export function authOctets(a: AuthInput): Uint8Array {
  return concat(a.message, a.nonce, prf(a.prfId, a.skp, a.id), a.intAuth ?? new Uint8Array(0))
}

const KEY_PAD = utf8('Key Pad for IKEv2')

/** AUTH with a pre-shared key: prf(prf(PSK, "Key Pad for IKEv2"), octets). */
export function pskAuth(prfId: number, psk: Uint8Array, octets: Uint8Array): Uint8Array {
  const key = prf(prfId, psk, KEY_PAD)
  const out = prf(prfId, key, octets)
  wipe(key)
  return out
}
