import { equalSecret } from '../../bytes/octets.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import { emitTyped, parseTyped } from '../../wire/ike/v2/bodies.js'
import { AUTH_METHOD, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import { formatIdentity, type Identity, sameIdentity } from '../identity.js'
import { authOctets, pskAuth } from './auth.js'
import type { ChildContext } from './child-exchange.js'
import type { Disproof } from './first-outcomes.js'
import type { FirstContext, Keyed, Received } from './first-states.js'
import { openMessage } from './fragmentation.js'
import { type MessageRules, PayloadSet } from './payload-set.js'

// What both ends of IKE_AUTH do alike.

/** AUTH data of one end over its own first message. @param id the prover's ID payload body */
export function proof(prover: 'initiator' | 'responder', s: Keyed, id: Uint8Array): Uint8Array {
  const prfId = s.keying.proposal.prf
  const common = { prfId, id, ...(s.intAuth && { intAuth: s.intAuth }) }
  const octets = authOctets(
    prover === 'initiator'
      ? { ...common, message: s.request, nonce: s.nr, skp: s.keying.keys.pi }
      : { ...common, message: s.response, nonce: s.ni, skp: s.keying.keys.pr },
  )
  return pskAuth(prfId, s.psk, octets)
}

/** Our AUTH payload. */
export const proveSelf = (s: Keyed, id: Uint8Array) => ({
  type: PAYLOAD.AUTH,
  body: emitTyped({ type: AUTH_METHOD.SHARED_KEY, data: proof(s.keying.role, s, id) }),
})

/** What is wrong with the peer's ID and AUTH payloads; undefined when it is who it should be. @throws WireError */
export function disprove(
  s: Keyed,
  id: Uint8Array,
  auth: Uint8Array | undefined,
  c: FirstContext,
): Disproof | undefined {
  const { type, data } = parseTyped(id, 'ID')
  const identity: Identity = { type, value: data }
  const expected = sameIdentity(identity, c.peer.remoteId)
  const shown = `its identity is ${formatIdentity(identity)} where we expect ${formatIdentity(c.peer.remoteId)}`
  if (auth === undefined)
    return { reason: 'the peer wants to authenticate by EAP, which sallyport does not do' }
  const { type: method, data: value } = parseTyped(auth, 'AUTH')
  if (method !== AUTH_METHOD.SHARED_KEY)
    return { reason: `the peer authenticates by method ${method}, not by the pre-shared key` }
  const prover = s.keying.role === 'initiator' ? 'responder' : 'initiator'
  if (!equalSecret(value, proof(prover, s, id)))
    return {
      reason: `AUTH does not verify: the peer's pre-shared key${s.ppk === undefined ? '' : ' or post-quantum preshared key'} differs from ours${expected ? '' : `, and ${shown}`}`,
    }
  if (expected) return undefined
  const told = `it expects the identity ${formatIdentity(c.peer.remoteId)} of us, and we say ${formatIdentity(identity)}`
  return { reason: `the peer has our key, but ${shown}`, told }
}

/**
 * Decrypts an IKE_AUTH message.
 * @returns undefined when it does not verify; else what gives its payloads, and throws WireError or ProtocolError where they do
 *   not keep to the rules
 * @throws WireError for what is no encrypted message: anybody may have sent it
 */
export function openAuth(s: Keyed, e: Received, rules: MessageRules): (() => PayloadSet) | undefined {
  if (e.header.exchange !== EXCHANGE.IKE_AUTH || s.pendingKe) return undefined
  const payloads = openMessage(s.keying.opener, e.header, e.message, e.joined)
  return payloads && (() => new PayloadSet(payloads, rules))
}

export const childContext = (s: Keyed, c: FirstContext): ChildContext => ({
  peer: c.peer,
  nat: s.nat,
  path: s.path,
  keyExchange: false,
})
