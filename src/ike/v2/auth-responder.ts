import { wipe } from '../../bytes/octets.js'
import { EXCHANGE } from '../../wire/ike/header.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { emitTyped, parseTyped } from '../../wire/ike/v2/bodies.js'
import { NOTIFY, PAYLOAD } from '../../wire/ike/v2/numbers.js'
import type { ChildConfig } from '../config.js'
import type { Millis } from '../environment.js'
import { formatIdentity, sameIdentity } from '../identity.js'
import { laneForPeer } from '../lanes.js'
import { copyPath, NAT_T_PORT } from '../path.js'
import { childContext, disprove, openAuth, proveSelf } from './auth-parts.js'
import {
  answerChild,
  answerPayloads,
  type ChildAnswer,
  type ChildRefusal,
  isRefusal,
  refusalOf,
  toldOf,
} from './child-exchange.js'
import { tellToken, tokenOf } from './crash-token.js'
import { type Disproof, failAuth, refuse } from './first-outcomes.js'
import type {
  FirstContext,
  FirstEffect,
  FirstIn,
  FirstOutcome,
  FirstResult,
  Keyed,
  Received,
} from './first-states.js'
import { identityBody } from './init-parts.js'
import { type Keying, sealed, wipeKeying } from './keying.js'
import { childKeymat } from './keys.js'
import { usesUdp } from './nat.js'
import { type PayloadSet, RULES } from './payload-set.js'
import { confirmPpk, mixed, namesPpk, wipeUnshared } from './ppk.js'
import { notifyFor, refusalPayloads } from './refusals.js'
import { asksForKey } from './signature.js'

// IKE_AUTH from the responder's side.

export function answerAuth(
  keyed: FirstIn<'INIT_ANSWERED'>,
  e: Received,
  now: Millis,
  c: FirstContext,
): FirstOutcome {
  // RFC 7296 section 2.23: behind a NAT the peer goes on at port 4500, where alone ESP in UDP can be.
  if (usesUdp(keyed.nat) && e.path.local.port !== NAT_T_PORT) return refuse(keyed, 'not-port-4500')
  const open = openAuth(keyed, e, RULES.authRequest)
  if (open === undefined) return refuse(keyed, 'bad-icv')
  let set: PayloadSet
  let s = keyed
  try {
    set = open()
    const proved = proofWithPpk(s, set)
    s = { ...keyed, keying: proved.keying }
    const wrong = proved.wrong ?? disprove(s, set, proved.auth, c) ?? wrongName(set, c)
    if (wrong !== undefined) {
      if (s.keying !== keyed.keying) wipeUnshared(s.keying)
      return failAuth(keyed, e, 'AUTHENTICATION_FAILED', wrong)
    }
  } catch (error) {
    if (s.keying !== keyed.keying) wipeUnshared(s.keying)
    const said = notifyFor(error)
    if (said === undefined) throw error
    const reason = `IKE_AUTH is malformed: ${(error as Error).message}`
    return failAuth(keyed, e, said.name, { reason }, said.data)
  }
  const id = identityBody(c.peer.localId)
  // RFC 6023: without an SA payload no CHILD_SA is asked for.
  const answered = set.first(PAYLOAD.SA) === undefined ? undefined : childAnswer(s, set, now, c)
  const payloads: PayloadInit[] = [
    { type: PAYLOAD.ID_R, body: id },
    ...proveSelf(s, id, asksForKey(set), c),
    ...(s.keying === keyed.keying ? [] : [confirmPpk()]),
    ...tellToken(c.crashSecret, s.keying),
    ...(answered === undefined
      ? []
      : isRefusal(answered)
        ? refusalPayloads(toldOf(answered))
        : answerPayloads(answered)),
  ]
  const message = sealed(s.keying, EXCHANGE.IKE_AUTH, e.header.messageId, true, payloads)
  const path = copyPath(e.path)
  const result: FirstResult = {
    keying: s.keying,
    nat: s.nat,
    path,
    peersLanes: s.capabilities.lanes,
    initialContact: set.says(NOTIFY.INITIAL_CONTACT),
    peersToken: tokenOf(set),
    child: answered === undefined || isRefusal(answered) ? undefined : withKeys(s, answered),
    noChild: undefined,
  }
  const effects: FirstEffect[] = [{ do: 'respond', path, message }]
  effects.push({ do: 'established', result })
  if (answered !== undefined && isRefusal(answered)) effects.push(refusedChild(answered))
  wipe(s.psk, s.ppk?.key)
  if (s.previous !== undefined) wipeKeying(s.previous)
  if (s.keying !== keyed.keying) wipeUnshared(keyed.keying)
  return { next: { kind: 'ESTABLISHED' }, effects }
}

/** The keys that the peer's AUTH is made with and the payload to check, RFC 8784 section 3; or why there is none. */
function proofWithPpk(
  s: Keyed,
  set: PayloadSet,
): { keying: Keying; auth: Uint8Array | undefined; wrong?: Disproof } {
  const { ppk, keying } = s
  const auth = set.first(PAYLOAD.AUTH)
  const named = ppk && namesPpk(set, ppk)
  if (ppk !== undefined && named === true) return { keying: mixed(keying, ppk), auth }
  if (ppk?.required === true) {
    const wrong =
      named === undefined
        ? 'the peer does not use its post-quantum preshared key, which we require'
        : 'the peer names another post-quantum preshared key than ours'
    return { keying, auth, wrong: { reason: wrong } }
  }
  if (named === undefined) return { keying, auth }
  const without = set.notify(NOTIFY.NO_PPK_AUTH)?.data
  if (without === undefined || auth === undefined)
    return {
      ...{ keying, auth },
      wrong: { reason: 'the peer requires a post-quantum preshared key that is not ours' },
    }
  return { keying, auth: emitTyped({ type: parseTyped(auth, 'AUTH').type, data: without }) }
}

/** The peer may name whom it wants to talk to. @throws WireError */
function wrongName(set: PayloadSet, c: FirstContext): Disproof | undefined {
  const body = set.first(PAYLOAD.ID_R)
  if (body === undefined) return undefined
  const { type, data } = parseTyped(body, 'ID')
  const asked = { type, value: data }
  if (sameIdentity(asked, c.peer.localId)) return undefined
  const [wanted, is] = [formatIdentity(asked), formatIdentity(c.peer.localId)]
  const told = `its identity is ${is} where we expect ${wanted}`
  return { reason: `the peer has the right key, but asks for ${wanted} where we are ${is}`, told }
}

function childAnswer(s: Keyed, set: PayloadSet, now: Millis, c: FirstContext): ChildAnswer | ChildRefusal {
  try {
    const inLane = (child: ChildConfig, spi: number) => laneForPeer(c.peer, child, spi, s.capabilities.lanes)
    return answerChild(set, now, childContext(s, c), c.peer.children, inLane, c.newSpi)
  } catch (error) {
    return refusalOf(error)
  }
}

const withKeys = (s: Keyed, { agreed }: ChildAnswer): FirstResult['child'] => ({
  agreed,
  keymat: childKeymat(s.keying.proposal.prf, s.keying.keys.d, new Uint8Array(0), s.ni, s.nr, agreed.proposal),
})

const refusedChild = (r: ChildRefusal): Extract<FirstEffect, { do: 'refuse' }> => ({
  do: 'refuse',
  cause: r.notify.toLowerCase().replaceAll('_', '-'),
  error: `${r.notify}: ${r.reason}`,
  ...(r.fields !== undefined && { fields: r.fields }),
})
