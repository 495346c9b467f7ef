import { spiNumber } from '../../wire/ike/v1/notify.js'
import { NOTIFY, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import type { IkePeerConfig } from '../config.js'
import type { Millis } from '../environment.js'
import { emitExplanation } from '../explanation.js'
import { copyPath, IKE_PORT, type Path } from '../path.js'
import { cookiePair, deletePayload, notifyPayload, sealInformational } from './informational.js'
import type { WrongIdentity } from './main-mode-parts.js'
import {
  forgetMainMode,
  type MainModeContext,
  type MainModeEffect,
  type MainModeIn,
  type MainModeOutcome,
  type MainModeState,
  type Sending,
} from './main-mode-states.js'

// How a step of Main Mode may end, besides going on: by waiting, repeating, refusing or giving up.

export const FAILED: MainModeState = { kind: 'FAILED' }

export function firstSending(message: Uint8Array, now: Millis, c: MainModeContext): Sending {
  return { message, times: 1, since: now, dueAt: now + (c.limits.retransmitMs[0] ?? 0) }
}

type Waiting = MainModeIn<'SA_SENT' | 'KE_SENT' | 'AUTH_SENT'>

const SENT = { SA_SENT: 'message 1', KE_SENT: 'message 3', AUTH_SENT: 'message 5' } as const

/** What it most likely means when the message of a state stays without answer. */
function meaning(s: Waiting, c: IkePeerConfig): string {
  switch (s.kind) {
    case 'SA_SENT':
      return `the peer is unreachable on UDP 500, does not run IKEv1, does not know our address${c.dynamicPsk === 'off' ? ', or wants a pre-phase first (dynamic_psk)' : ''}`
    case 'KE_SENT':
      return 'the way to or from the peer loses long messages, or the peer refuses our group'
    case 'AUTH_SENT': {
      const { port } = s.path.remote
      const blocked = port === IKE_PORT ? 'the way to the peer loses messages' : `UDP ${port} is blocked`
      return `the pre-shared keys differ, the peer expects another identity, or ${blocked} (its log tells which)`
    }
  }
}

/** What the peer leaves without an answer in this state, for the operator. @param yet it may still come */
export const silenceText = (s: Waiting, c: IkePeerConfig, yet: boolean): string =>
  `no answer to ${SENT[s.kind]}${yet ? ' yet' : ''}: ${meaning(s, c)}`

export function again(s: Waiting, now: Millis, c: MainModeContext): MainModeOutcome {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return fail(s, silenceText(s, c.peer, false))
  return {
    next: { ...s, sending: { ...s.sending, times: times + 1, dueAt: now + wait } },
    effects: [
      { do: 'count', counter: 'ike.retransmitted' },
      { do: 'send', path: s.path, message },
    ],
  }
}

export const repeated = (s: MainModeState): MainModeOutcome => ({
  next: s,
  effects: [{ do: 'count', counter: 'ike.repeated' }],
})

export function answerAgain(
  s: MainModeIn<'SA_ANSWERED' | 'KE_ANSWERED'>,
  path: Path,
  c: MainModeContext,
): MainModeOutcome {
  if (s.repeats >= c.limits.repeats) return refuse(s, 'repeat-limit')
  return { next: { ...s, repeats: s.repeats + 1 }, effects: repetition(path, s.answer) }
}

export function answerLast(s: MainModeIn<'ESTABLISHED'>, path: Path, c: MainModeContext): MainModeOutcome {
  const { answered } = s
  if (answered === undefined || answered.repeats >= c.limits.repeats) return refuse(s, 'repeat-limit')
  return {
    next: { ...s, answered: { ...answered, repeats: answered.repeats + 1 } },
    effects: repetition(path, answered.answer),
  }
}

const repetition = (path: Path, message: Uint8Array): MainModeEffect[] => [
  { do: 'count', counter: 'ike.repeated' },
  { do: 'send', path, message },
]

const GONE = 'our answers do not reach the peer, or it refuses us (its log tells which)'
export const NO_MESSAGE_3 = `message 3 did not come: ${GONE}`
export const NO_MESSAGE_5 = `message 5 did not come: UDP 4500 is blocked, ${GONE}`

/** Leaves the state for good. */
export function fail(s: MainModeState, reason: string): MainModeOutcome {
  forgetMainMode(s)
  return { next: FAILED, effects: [{ do: 'failed', reason }] }
}

/** Ends it and says so under the new keys: the peer has proved that it has our key, but it is not who we expect. */
export function failTelling(
  s: MainModeIn<'AUTH_SENT' | 'KE_ANSWERED'>,
  path: Path,
  last: Uint8Array,
  wrong: WrongIdentity,
  c: MainModeContext,
): MainModeOutcome {
  const { ci, cr } = s.x
  const spi = cookiePair(ci, cr)
  const payloads = [
    notifyPayload(NOTIFY.INVALID_ID_INFORMATION, PROTOCOL.ISAKMP, spi, emitExplanation(wrong.told)),
    deletePayload(PROTOCOL.ISAKMP, [spi]),
  ]
  const protection = { keys: s.keys, ci, cr, lastBlock: last }
  const message = sealInformational(protection, (spiNumber(c.random(4)) | 1) >>> 0, payloads)
  const { next, effects } = fail(s, wrong.reason)
  return { next, effects: [{ do: 'send', path: copyPath(path), message }, ...effects] }
}

export function refuse(
  next: MainModeState,
  cause: string,
  error?: string,
  fields?: Record<string, unknown>,
): MainModeOutcome {
  return {
    next,
    effects: [
      { do: 'refuse', cause, ...(error !== undefined && { error }), ...(fields !== undefined && { fields }) },
    ],
  }
}
