import { concat, wipe } from '../../bytes/octets.js'
import { mlKemAnswer } from '../../crypto/ml-kem.js'
import { prf } from '../../crypto/prf.js'
import { ProtocolError } from '../../errors.js'
import { EXCHANGE, emitIkeHeader, IKE_HEADER_LEN, type IkeHeader } from '../../wire/ike/header.js'
import { emitPayloads, PAYLOAD_HEADER_LEN, type PayloadInit } from '../../wire/ike/payloads.js'
import { emitKe, type KePayload, parseKe } from '../../wire/ike/v2/bodies.js'
import { parseChain, parseInner } from '../../wire/ike/v2/chain.js'
import { notifyName, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { Millis } from '../environment.js'
import { copyPath } from '../path.js'
import { formatGroup } from '../proposals.js'
import { sendAuth } from './auth-initiator.js'
import { fail, failIntermediate, refuse } from './first-outcomes.js'
import type { FirstContext, FirstIn, FirstOutcome, Keyed, Received } from './first-states.js'
import { inheritFragments } from './fragmentation.js'
import { headOf, type Keying, makeKeying, sealed, wipeKeying } from './keying.js'
import { rekeyedSkeyseed } from './keys.js'
import { PayloadSet, RULES } from './payload-set.js'
import { notifyFor } from './refusals.js'

// IKE_INTERMEDIATE (RFC 9242), for one key exchange besides the first (RFC 9370): ML-KEM-768, whose public key is too large for
// IKE_SA_INIT, which cannot be fragmented. Its secret enters all keys from then on, and its messages enter AUTH.
//
//   I -> R  encrypted: KE (encapsulation key)        R -> I  encrypted: KE (ciphertext)

/** The message behind IKE_SA_INIT. */
const MESSAGE_ID = 1

/** Initiator: asks for the second key exchange once the first is done. */
export function sendIntermediate(s: Keyed, method: number, c: FirstContext): FirstOutcome {
  const share = c.keyShare(method)
  const payloads: PayloadInit[] = [{ type: PAYLOAD.KE, body: emitKe({ method, data: share.publicValue }) }]
  const message = sealed(s.keying, EXCHANGE.IKE_INTERMEDIATE, MESSAGE_ID, false, payloads)
  return {
    next: { kind: 'INTERMEDIATE_SENT', ...s, share, ownIntAuth: ownIntAuth(s.keying, false, payloads) },
    effects: [{ do: 'request', path: s.path, message }],
  }
}

/** Initiator: the response. */
export function receiveIntermediate(
  s: FirstIn<'INTERMEDIATE_SENT'>,
  e: Received,
  now: Millis,
  c: FirstContext,
): FirstOutcome {
  const opened = open(s, e)
  if (opened === undefined) return refuse(s, 'bad-icv')
  let ke: KePayload
  try {
    const set = opened.read()
    const error = set.error()
    if (set.first(PAYLOAD.KE) === undefined && error !== undefined)
      return fail(s, `the peer says ${notifyName(error.type)} to IKE_INTERMEDIATE`)
    ke = parseKe(set.need(PAYLOAD.KE))
  } catch (error) {
    if (notifyFor(error) === undefined) throw error
    return fail(s, `the answer to IKE_INTERMEDIATE is malformed: ${(error as Error).message}`)
  }
  if (ke.method !== s.share.group)
    return fail(
      s,
      `the peer exchanges keys with ${formatGroup(ke.method)} where ${formatGroup(s.share.group)} was agreed`,
    )
  let secret: Uint8Array
  try {
    secret = s.share.computeSecret(ke.data)
  } catch (error) {
    if (error instanceof ProtocolError) return fail(s, `the second key exchange: ${error.message}`)
    throw error
  }
  s.share.destroy()
  const { share: _share, ownIntAuth: own, kind: _kind, ...keyed } = s
  return sendAuth(advanced(keyed, secret, own, opened.intAuth, c), now, c)
}

/** Responder: the request. */
export function answerIntermediate(s: FirstIn<'INIT_ANSWERED'>, e: Received, c: FirstContext): FirstOutcome {
  const opened = open(s, e)
  if (opened === undefined) return refuse(s, 'bad-icv')
  let ke: KePayload
  try {
    ke = parseKe(opened.read().need(PAYLOAD.KE))
  } catch (error) {
    const said = notifyFor(error)
    if (said === undefined) throw error
    const reason = `IKE_INTERMEDIATE is malformed: ${(error as Error).message}`
    return failIntermediate(s, e, reason, said.name, said.data)
  }
  const { additional } = s.keying.proposal
  if (additional === undefined || ke.method !== additional)
    return failIntermediate(
      s,
      e,
      `the peer's second key exchange is ${formatGroup(ke.method)}, which was not agreed`,
    )
  let answer: ReturnType<typeof mlKemAnswer>
  try {
    answer = mlKemAnswer(ke.data)
  } catch (error) {
    if (error instanceof ProtocolError)
      return failIntermediate(s, e, `the second key exchange: ${error.message}`)
    throw error
  }
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.KE, body: emitKe({ method: additional, data: answer.ciphertext }) },
  ]
  const message = sealed(s.keying, EXCHANGE.IKE_INTERMEDIATE, e.header.messageId, true, payloads)
  const own = ownIntAuth(s.keying, true, payloads)
  const path = copyPath(e.path)
  return {
    next: { ...s, ...advanced(s, answer.secret, own, opened.intAuth, c), path },
    effects: [{ do: 'respond', path, message }],
  }
}

/** Keys and AUTH octets behind the exchange, RFC 9370 section 2.2.2. Wipes the secret; and the keys before, which the responder still needs. */
function advanced(s: Keyed, secret: Uint8Array, own: Uint8Array, peers: Uint8Array, c: FirstContext): Keyed {
  const { keying: old } = s
  const { role, spiI, spiR, proposal } = old
  const seed = rekeyedSkeyseed(proposal.prf, old.keys.d, secret, s.ni, s.nr)
  const keying = makeKeying(role, proposal, seed, { spiI, spiR, ni: s.ni, nr: s.nr }, c.random)
  inheritFragments(keying, old)
  wipe(secret, seed)
  const [i, r] = role === 'initiator' ? [own, peers] : [peers, own]
  // The Message ID of IKE_AUTH comes last.
  if (role === 'initiator') wipeKeying(old)
  const previous = role === 'initiator' ? undefined : old
  return {
    ...s,
    keying,
    previous,
    pendingKe: false,
    intAuth: concat(i, r, Uint8Array.of(0, 0, 0, MESSAGE_ID + 1)),
  }
}

/**
 * @returns undefined when it does not verify; `read` throws WireError or ProtocolError where an authentic message cannot be read
 * @throws WireError for what is no encrypted message: anybody may have sent it
 */
function open(s: Keyed, e: Received): { read: () => PayloadSet; intAuth: Uint8Array } | undefined {
  if (e.header.exchange !== EXCHANGE.IKE_INTERMEDIATE || e.header.messageId !== MESSAGE_ID) return undefined
  const { encrypted } = parseChain(e.header, e.message)
  const plaintext = e.joined?.plaintext ?? (encrypted && s.keying.opener.openWhole(e.message, encrypted))
  if (plaintext === undefined) return undefined
  const first = e.joined?.first ?? encrypted!.first
  const prover = s.keying.role === 'initiator' ? 'responder' : 'initiator'
  return {
    read: () => new PayloadSet(parseInner(plaintext, first), RULES.intermediate),
    intAuth: intAuthOf(s.keying, prover, e.header, first, plaintext),
  }
}

function ownIntAuth(k: Keying, response: boolean, payloads: readonly PayloadInit[]): Uint8Array {
  const head = headOf(k.role, k.spiI, k.spiR, EXCHANGE.IKE_INTERMEDIATE, MESSAGE_ID, response)
  return intAuthOf(k, k.role, head, payloads[0]!.type, emitPayloads(payloads))
}

/**
 * IntAuth of one message (RFC 9242 section 3.3.2): prf(SK_p, header | generic header of SK | payloads), with lengths that leave out
 * what encryption adds, whether the message goes in fragments or not.
 */
export function intAuthOf(
  k: Pick<Keying, 'proposal' | 'keys'>,
  prover: 'initiator' | 'responder',
  header: Omit<IkeHeader, 'nextPayload' | 'length'>,
  first: number,
  plaintext: Uint8Array,
): Uint8Array {
  const inner = PAYLOAD_HEADER_LEN + plaintext.length
  const head = new Uint8Array(IKE_HEADER_LEN)
  emitIkeHeader({ ...header, nextPayload: PAYLOAD.SK, length: IKE_HEADER_LEN + inner }, head, 0)
  const generic = Uint8Array.of(first, 0, inner >>> 8, inner & 0xff)
  const { pi, pr } = k.keys
  return prf(k.proposal.prf, prover === 'initiator' ? pi : pr, head, generic, plaintext)
}
