import { EXCHANGE, IKE_HEADER_LEN } from '../../wire/ike/header.js'
import { emitMessage, type PayloadInit } from '../../wire/ike/payloads.js'
import type { NotifyName } from '../../wire/ike/v2/numbers.js'
import type { IkePeerConfig } from '../config.js'
import { copyPath, IKE_PORT, type Path } from '../path.js'
import {
  type FirstContext,
  type FirstIn,
  type FirstOutcome,
  type FirstState,
  forgetFirst,
  type Received,
} from './first-states.js'
import { headOf, sealed } from './keying.js'
import { whole } from './outgoing.js'
import { notify } from './payload-set.js'
import { refusalPayloads } from './refusals.js'

// How a step of the first exchanges may end, besides going on: by waiting, refusing or giving up.

export const FAILED: FirstState = { kind: 'FAILED' }
const IDLE: FirstState = { kind: 'IDLE' }
const NO_SPI = new Uint8Array(8)

/** An IKE_SA_INIT message, which is in the clear and has Message ID 0. */
export const clear = (
  role: 'initiator' | 'responder',
  spiI: Uint8Array,
  spiR: Uint8Array,
  payloads: readonly PayloadInit[],
): Uint8Array =>
  emitMessage(headOf(role, spiI, spiR, EXCHANGE.IKE_SA_INIT, 0, role === 'responder'), payloads)

type Waiting = FirstIn<'INIT_SENT' | 'INTERMEDIATE_SENT' | 'AUTH_SENT'>

const REQUEST = {
  INIT_SENT: 'IKE_SA_INIT',
  INTERMEDIATE_SENT: 'IKE_INTERMEDIATE',
  AUTH_SENT: 'IKE_AUTH',
} as const

/** What it most likely means when the request of a state stays without answer. */
function meaning(s: Waiting, c: IkePeerConfig): string {
  if (s.kind === 'INIT_SENT')
    return `the peer is unreachable on UDP 500, does not run IKEv2, does not know our address${c.dynamicPsk === 'off' ? ', or wants a pre-phase first (dynamic_psk)' : ''}`
  const blocked = s.path.remote.port === IKE_PORT ? '' : `UDP ${s.path.remote.port} is blocked, or `
  const help = s.kind === 'AUTH_SENT' ? 'its log tells whether it came' : 'see ike.fragment_size'
  return `${blocked}the way to the peer loses long messages (${help})`
}

/** What the peer leaves without an answer in this state, for the operator. @param yet it may still come */
export const silenceText = (s: Waiting, c: IkePeerConfig, yet: boolean): string =>
  `no answer to ${REQUEST[s.kind]}${yet ? ' yet' : ''}: ${meaning(s, c)}`

export function silent(s: Waiting, c: FirstContext): FirstOutcome {
  const hint = s.kind === 'INIT_SENT' ? s.hint : undefined
  if (hint === undefined) return fail(s, silenceText(s, c.peer, false))
  return fail(s, `the peer seems to say ${hint.text}`, hint.fields)
}

export const NO_AUTH =
  'IKE_AUTH did not come: our answers do not reach the peer, UDP 4500 is blocked, or the peer refuses us (its log tells why)'

/** Leaves the state for good. */
export function fail(s: FirstState, reason: string, fields?: Record<string, unknown>): FirstOutcome {
  forgetFirst(s)
  return { next: FAILED, effects: [{ do: 'failed', reason, ...(fields !== undefined && { fields }) }] }
}

/** Header of the message, and the notify without data. */
const PLAIN_REFUSAL = IKE_HEADER_LEN + 8

/**
 * Responder: refuses a first message and says why, without keeping anything. Nobody has proved to be at the address that the
 * answer goes to: it is not larger than the message was.
 * @param told the reason for the peer's operator, as we see it
 */
export function decline(
  e: Received,
  name: NotifyName,
  data: Uint8Array | undefined,
  refusal: { cause: string; error?: string; fields?: Record<string, unknown> },
  told?: string,
): FirstOutcome {
  const room = e.message.length - PLAIN_REFUSAL - (data?.length ?? 0)
  if (room < 0) return { next: IDLE, effects: [{ do: 'refuse', ...refusal }] }
  const payloads = refusalPayloads({ notify: name, data, reason: told, fields: refusal.fields }, room)
  const message = whole(clear('responder', e.header.initiatorSpi, NO_SPI, payloads))
  return {
    next: IDLE,
    effects: [
      { do: 'reply', path: copyPath(e.path), message },
      { do: 'refuse', ...refusal },
    ],
  }
}

/** What is wrong with who the peer says it is. */
export interface Disproof {
  readonly reason: string
  /** What the peer may know of it, as it sees it: only one that has proved to have our key. */
  readonly told?: string
}

/** Responder: ends it with an error in the response to IKE_AUTH. */
export function failAuth(
  s: FirstIn<'INIT_ANSWERED'>,
  e: Received,
  name: NotifyName,
  wrong: Disproof,
  data?: Uint8Array,
): FirstOutcome {
  const payloads = refusalPayloads({ notify: name, data, reason: wrong.told })
  const message = sealed(s.keying, EXCHANGE.IKE_AUTH, e.header.messageId, true, payloads)
  const { next, effects } = fail(s, wrong.reason)
  return { next, effects: [{ do: 'respond', path: copyPath(e.path), message }, ...effects] }
}

/** Responder: the same for IKE_INTERMEDIATE. */
export function failIntermediate(
  s: FirstIn<'INIT_ANSWERED'>,
  e: Received,
  reason: string,
  name: NotifyName = 'INVALID_SYNTAX',
  data?: Uint8Array,
): FirstOutcome {
  const said = [notify(name, data)]
  const message = sealed(s.keying, EXCHANGE.IKE_INTERMEDIATE, e.header.messageId, true, said)
  const { next, effects } = fail(s, reason)
  return { next, effects: [{ do: 'respond', path: copyPath(e.path), message }, ...effects] }
}

/** Initiator: the peer believes that the IKE SA is up, and is told that it is not (RFC 7296 section 2.21.2). */
export function failTelling(
  s: FirstIn<'AUTH_SENT'>,
  path: Path,
  wrong: Disproof,
  c: FirstContext,
  name: NotifyName = 'AUTHENTICATION_FAILED',
): FirstOutcome {
  const payloads = refusalPayloads({ notify: name, reason: wrong.told })
  const message = sealed(s.keying, EXCHANGE.INFORMATIONAL, c.messageId + 1, false, payloads)
  const { next, effects } = fail(s, wrong.reason)
  return { next, effects: [{ do: 'reply', path: copyPath(path), message }, ...effects] }
}

export function refuse(
  next: FirstState,
  cause: string,
  error?: string,
  fields?: Record<string, unknown>,
): FirstOutcome {
  return {
    next,
    effects: [
      { do: 'refuse', cause, ...(error !== undefined && { error }), ...(fields !== undefined && { fields }) },
    ],
  }
}
