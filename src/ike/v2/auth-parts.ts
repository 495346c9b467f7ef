import { equalSecret } from '../../bytes/octets.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { emitTyped, parseTyped, type TypedPayload } from '../../wire/ike/v2/bodies.js'
import { AUTH_METHOD, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import { formatRawPublicKey } from '../host-identity.js'
import { formatIdentity, type Identity, sameIdentity } from '../identity.js'
import { authOctets, pskAuth } from './auth.js'
import type { ChildContext } from './child-exchange.js'
import type { Disproof } from './first-outcomes.js'
import type { FirstContext, Keyed, Received } from './first-states.js'
import { openMessage } from './fragmentation.js'
import { type MessageRules, PayloadSet } from './payload-set.js'
import { misSigned, otherKey, showKey, signedAuth } from './signature.js'

// What both ends of IKE_AUTH do alike.

/** What an end proves, over its own first message. @param id the prover's ID payload body */
function provedOctets(prover: 'initiator' | 'responder', s: Keyed, id: Uint8Array): Uint8Array {
  const common = { prfId: s.keying.proposal.prf, id, ...(s.intAuth && { intAuth: s.intAuth }) }
  return authOctets(
    prover === 'initiator'
      ? { ...common, message: s.request, nonce: s.nr, skp: s.keying.keys.pi }
      : { ...common, message: s.response, nonce: s.ni, skp: s.keying.keys.pr },
  )
}

/** What is in our AUTH payload. @param id our ID payload body */
export function proof(s: Keyed, id: Uint8Array, c: FirstContext): TypedPayload {
  const octets = provedOctets(s.keying.role, s, id)
  const { signatures } = c.peer
  return signatures === undefined
    ? { type: AUTH_METHOD.SHARED_KEY, data: pskAuth(s.keying.proposal.prf, s.psk, octets) }
    : { type: AUTH_METHOD.DIGITAL_SIGNATURE, data: signedAuth(signatures.sign, octets) }
}

/** Our AUTH payload, behind the key that verifies it if the peer asks for that. */
export const proveSelf = (s: Keyed, id: Uint8Array, asked: boolean, c: FirstContext): PayloadInit[] => [
  ...(asked && c.peer.signatures ? [showKey(c.peer.signatures.own)] : []),
  { type: PAYLOAD.AUTH, body: emitTyped(proof(s, id, c)) },
]

const METHODS = new Map<number, string>([
  [AUTH_METHOD.RSA, 'an RSA signature'],
  [AUTH_METHOD.SHARED_KEY, 'a pre-shared key'],
  [AUTH_METHOD.DIGITAL_SIGNATURE, 'the signature of a public key'],
])
const methodName = (method: number): string => METHODS.get(method) ?? `method ${method}`

/**
 * What is wrong with the peer's identity and AUTH; undefined when it is who it should be.
 * @param set the peer's IKE_AUTH message @param auth the AUTH payload to check, undefined without any
 * @throws WireError
 */
export function disprove(
  s: Keyed,
  set: PayloadSet,
  auth: Uint8Array | undefined,
  c: FirstContext,
): Disproof | undefined {
  const prover = s.keying.role === 'initiator' ? 'responder' : 'initiator'
  const id = set.need(prover === 'initiator' ? PAYLOAD.ID_I : PAYLOAD.ID_R)
  const { type, data } = parseTyped(id, 'ID')
  const identity: Identity = { type, value: data }
  const expected = sameIdentity(identity, c.peer.remoteId)
  const shown = `its identity is ${formatIdentity(identity)} where we expect ${formatIdentity(c.peer.remoteId)}`
  const andShown = expected ? '' : `, and ${shown}`
  if (auth === undefined)
    return { reason: 'the peer wants to authenticate by EAP, which sallyport does not do' }
  const { type: method, data: value } = parseTyped(auth, 'AUTH')
  const { signatures } = c.peer
  const wanted = signatures === undefined ? AUTH_METHOD.SHARED_KEY : AUTH_METHOD.DIGITAL_SIGNATURE
  if (method !== wanted)
    return {
      reason: `the peer proves itself by ${methodName(method)} where we expect ${methodName(wanted)}: is auth the same at both ends?`,
      told: `it expects ${methodName(wanted)} of us, and we prove ourselves by ${methodName(method)}`,
    }
  const octets = provedOctets(prover, s, id)
  const wrong =
    signatures === undefined
      ? wrongPsk(s, value, octets)
      : wrongSignature(set, signatures.peer, value, octets)
  if (wrong !== undefined) return { reason: `AUTH does not verify: ${wrong}${andShown}` }
  if (expected) return undefined
  const told = `it expects the identity ${formatIdentity(c.peer.remoteId)} of us, and we say ${formatIdentity(identity)}`
  return {
    reason: `the peer has ${signatures === undefined ? 'our key' : 'the right key'}, but ${shown}`,
    told,
  }
}

function wrongPsk(s: Keyed, value: Uint8Array, octets: Uint8Array): string | undefined {
  if (equalSecret(value, pskAuth(s.keying.proposal.prf, s.psk, octets))) return undefined
  return `the peer's pre-shared key${orPpk(s)} differs from ours`
}

function wrongSignature(
  set: PayloadSet,
  key: Uint8Array,
  value: Uint8Array,
  octets: Uint8Array,
): string | undefined {
  const wrong = misSigned(key, value, octets)
  const other = wrong && otherKey(set, key)
  return other === undefined
    ? wrong
    : `the peer's public key is ${other} where we have ${formatRawPublicKey(key)}`
}

const orPpk = (s: Keyed): string => (s.ppk === undefined ? '' : ' or post-quantum preshared key')

/**
 * Decrypts an IKE_AUTH message.
 * @returns undefined when it does not verify; else what gives its payloads, and throws WireError or ProtocolError where they do
 *   not keep to the rules
 * @throws WireError for what is no encrypted message: anybody may have sent it
 */
export function openAuth(s: Keyed, e: Received, rules: MessageRules): (() => PayloadSet) | undefined {
  if (e.header.exchange !== EXCHANGE.IKE_AUTH || s.pendingKe) return undefined
  const split = openMessage(s.keying.opener, e.header, e.message, e.joined)
  return split && (() => new PayloadSet(split(), rules))
}

export const childContext = (s: Keyed, c: FirstContext): ChildContext => ({
  peer: c.peer,
  nat: s.nat,
  path: s.path,
  keyExchange: false,
})
