import { concat, equalOctets, fromHex } from '../../bytes/octets.js'
import { ed25519FromSpki, ed25519Sign, ed25519Spki, ed25519Verify } from '../../crypto/ed25519.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { CERT_ENCODING, NOTIFY, PAYLOAD, SIGNATURE_HASH } from '../../wire/ike/v2/numbers.js'
import { formatRawPublicKey } from '../host-identity.js'
import { notify, type PayloadSet } from './payload-set.js'

// Authentication by raw public keys: digital signatures (RFC 7427) by Ed25519 (RFC 8420). Both ends know each other's key; it is
// shown (RFC 7670) where the peer asks for it, so that a wrong one can be named, and believed by nobody.
//
//   AUTH data:    | length of the identifier (1) | AlgorithmIdentifier, DER | signature |    RFC 7427 section 3
//   CERT:         | encoding (1) | SubjectPublicKeyInfo, DER |                               RFC 7670 section 3
//   CERTREQ:      | encoding (1) |

/** AlgorithmIdentifier of Ed25519 (RFC 8410 section 3), behind its length. */
const ALGORITHM = fromHex('07300506032b6570')

/** What an end that can verify our signatures says in IKE_SA_INIT. */
export const verifiesSignatures = (): PayloadInit =>
  notify('SIGNATURE_HASH_ALGORITHMS', Uint8Array.of(0, SIGNATURE_HASH.IDENTITY))

/** Whether the peer says that it verifies Ed25519. */
export function canVerify(set: PayloadSet): boolean {
  const hashes = set.notify(NOTIFY.SIGNATURE_HASH_ALGORITHMS)?.data ?? new Uint8Array(0)
  for (let i = 0; i + 1 < hashes.length; i += 2)
    if (((hashes[i]! << 8) | hashes[i + 1]!) === SIGNATURE_HASH.IDENTITY) return true
  return false
}

/** AUTH data. @param seed of our key @param octets what both ends prove */
export const signedAuth = (seed: Uint8Array, octets: Uint8Array): Uint8Array =>
  concat(ALGORITHM, ed25519Sign(seed, octets))

/** What is wrong with the peer's AUTH data; undefined when it is signed with its key. @param key 32 octets */
export function misSigned(key: Uint8Array, data: Uint8Array, octets: Uint8Array): string | undefined {
  if (!equalOctets(data.subarray(0, ALGORITHM.length), ALGORITHM))
    return 'its signature is of another algorithm than Ed25519'
  return ed25519Verify(key, octets, data.subarray(ALGORITHM.length))
    ? undefined
    : 'its signature is not made with the key that we have of it'
}

export const askForKey = (): PayloadInit => ({
  type: PAYLOAD.CERTREQ,
  body: Uint8Array.of(CERT_ENCODING.RAW_PUBLIC_KEY),
})

export const asksForKey = (set: PayloadSet): boolean =>
  set.all(PAYLOAD.CERTREQ).some((body) => body[0] === CERT_ENCODING.RAW_PUBLIC_KEY)

/** @param key 32 octets */
export const showKey = (key: Uint8Array): PayloadInit => ({
  type: PAYLOAD.CERT,
  body: concat(Uint8Array.of(CERT_ENCODING.RAW_PUBLIC_KEY), ed25519Spki(key)),
})

/** The key that the peer shows when it is not the one that we have of it, as text; undefined otherwise. */
export function otherKey(set: PayloadSet, key: Uint8Array): string | undefined {
  for (const body of set.all(PAYLOAD.CERT)) {
    const shown = body[0] === CERT_ENCODING.RAW_PUBLIC_KEY ? ed25519FromSpki(body.subarray(1)) : undefined
    if (shown !== undefined && !equalOctets(shown, key)) return formatRawPublicKey(shown)
  }
  return undefined
}
