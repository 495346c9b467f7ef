import { equalOctets, wipe } from '../../bytes/octets.js'
import type { Millis } from '../environment.js'
import type { Trouble } from '../trouble.js'
import type { PrephaseLimits } from './limits.js'
import { type Effect, type Outcome, type Path, refused, type Table } from './machine.js'
import { formatIdBody, type MessageOf, NONCE_LEN } from './messages.js'
import type { Answered, Opened, PairCode, Proved } from './pair-code.js'
import type { PrephaseResult } from './types.js'

// Our attempts towards one peer.
//
//          START                STEP2                 STEP4
//   IDLE --------> STEP1_SENT --------> STEP3_SENT ---------> IDLE, finished
//    ^  \             |  ^ DUE (repeat; give up: begin again)
//    |   \ peer has   |  |
//    |    \ just      v  | DUE
//    |     `-------> HOLD (the peer goes first)
//    `-----------------'  PEER_TAKEN

interface Sending {
  readonly message: Uint8Array
  /** Times sent so far. */
  readonly times: number
  readonly dueAt: Millis
}

export type InitiatorState =
  | { readonly kind: 'IDLE' }
  | {
      readonly kind: 'STEP1_SENT'
      readonly attempt: number
      /** When the first of the attempts began. */
      readonly since: Millis
      readonly path: Path
      readonly opened: Opened
      readonly sending: Sending
    }
  | {
      readonly kind: 'STEP3_SENT'
      readonly attempt: number
      /** When step 3 was sent first. */
      readonly since: Millis
      readonly path: Path
      readonly proved: Proved
      readonly sending: Sending
    }
  | { readonly kind: 'HOLD'; readonly since: Millis; readonly until: Millis }

export type InitiatorEvent =
  | { readonly kind: 'START' }
  /** START while a pre-phase that the peer began waits here for the peer's IKE exchange. */
  | { readonly kind: 'START_AFTER_PEER' }
  | Received<2, 'STEP2'>
  | Received<4, 'STEP4'>
  | { readonly kind: 'DUE' }
  /** We have answered the peer's step 1. */
  | { readonly kind: 'PEER_FIRST' }
  /** A pre-phase that the peer began has finished here. */
  | { readonly kind: 'PEER_FINISHED' }
  /** The peer's IKE exchange has come and taken it. */
  | { readonly kind: 'PEER_TAKEN' }
  | { readonly kind: 'CANCEL' }

interface Received<S extends 2 | 4, K> {
  readonly kind: K
  readonly m: MessageOf<S>
  /** The octets of `m`; valid within the call only. */
  readonly message: Uint8Array
  readonly cr: Uint8Array
  readonly path: Path
}

export interface InitiatorContext {
  readonly peer: string
  readonly code: PairCode
  /** ID payload bodies: ours and the peer's. */
  readonly localId: Uint8Array
  readonly remoteId: Uint8Array
  /** Where step 1 goes. */
  readonly home: Path
  readonly limits: PrephaseLimits
  random(length: number): Uint8Array
  newCookie(): Uint8Array
  /** The label to send, stored before it returns. @throws when it cannot be stored. */
  newLabel(): Uint8Array
}

type Result = Outcome<InitiatorState>
const IDLE: InitiatorState = { kind: 'IDLE' }

export const INITIATOR: Table<InitiatorState, InitiatorEvent, InitiatorContext> = {
  IDLE: {
    START: { story: 'begin, send step 1', run: (_s, _e, now, c) => begin(1, now, now, c) },
    START_AFTER_PEER: { story: 'the peer has just begun, stand back', run: (_s, _e, now, c) => hold(now, c) },
  },
  STEP1_SENT: {
    STEP2: { story: 'step 2 verifies, send step 3', run: (s, e, now, c) => prove(s, e, now, c) },
    DUE: { story: 'step 1 not answered', run: (s, _e, now, c) => repeat(s, now, c) },
    PEER_FIRST: { story: 'both began, the peer goes first', run: (s, _e, now, c) => standBack(s, now, c) },
    PEER_FINISHED: { story: 'the peer finished first', run: (s, _e, now, c) => standBack(s, now, c) },
    PEER_TAKEN: { story: 'the peer’s IKE exchange has come', run: (s) => drop(s) },
    CANCEL: { story: 'cancelled', run: (s) => drop(s) },
  },
  // No PEER_* cells: with step 3 on its way the peer may have finished our attempt, which therefore is seen through.
  STEP3_SENT: {
    STEP4: { story: 'step 4 verifies, finished', run: (s, e, _now, c) => finish(s, e, c) },
    DUE: { story: 'step 3 not answered', run: (s, _e, now, c) => repeat(s, now, c) },
    CANCEL: { story: 'cancelled', run: (s) => drop(s) },
  },
  HOLD: {
    DUE: { story: 'the peer did not follow up, begin', run: (_s, _e, now, c) => begin(1, now, now, c) },
    PEER_FINISHED: {
      story: 'the peer finished, wait for its IKE',
      run: (s, _e, now, c) => extend(s, now, c),
    },
    PEER_TAKEN: { story: 'the peer’s IKE exchange has come', run: (s) => drop(s) },
    CANCEL: { story: 'cancelled', run: (s) => drop(s) },
  },
}

/** When the state wants DUE. */
export function initiatorDeadline(s: InitiatorState): Millis | undefined {
  if (s.kind === 'IDLE') return undefined
  return s.kind === 'HOLD' ? s.until : s.sending.dueAt
}

/** Something that was sent again has been waiting for its answer too long. */
const SILENT_TIMES = 2
const WHY_NO_STEP_2 = 'the peer is unreachable, does not run the pre-phase, or refuses us (its log tells why)'
const WHY_NO_STEP_4 = 'the way to or from the peer loses messages'

/** What the peer leaves without an answer while the attempt goes on; undefined until it was sent again. */
export function unanswered(s: InitiatorState): Trouble | undefined {
  if (!('sending' in s) || (s.attempt === 1 && s.sending.times < SILENT_TIMES)) return undefined
  const message =
    s.kind === 'STEP1_SENT'
      ? `no answer to step 1 yet: ${WHY_NO_STEP_2}`
      : `step 3 is not confirmed yet: ${WHY_NO_STEP_4}`
  return { message, at: s.since }
}

/** Initiator cookie of the attempt under way. */
export function attemptCookie(s: InitiatorState): Uint8Array | undefined {
  if (s.kind === 'STEP1_SENT') return s.opened.ci
  return s.kind === 'STEP3_SENT' ? s.proved.ci : undefined
}

/** A fresh attempt: new cookie, new nonce, new label. */
function begin(attempt: number, since: Millis, now: Millis, c: InitiatorContext): Result {
  let label: Uint8Array = new Uint8Array(0)
  try {
    if (c.code.scheme === 'hardened') label = c.newLabel()
  } catch (error) {
    return {
      next: IDLE,
      effects: [
        { do: 'refuse', cause: 'timestamp-store', fields: { error: String(error) } },
        { do: 'failed', reason: `the timestamp of step 1 cannot be stored: ${String(error)}` },
      ],
    }
  }
  const ci = c.newCookie()
  const na = c.random(NONCE_LEN)
  const m1 = c.code.step1(ci, c.localId, na, label)
  const opened: Opened = { ci, ida: c.localId, idb: c.remoteId, na, m1 }
  const path = c.home
  const next: InitiatorState = {
    kind: 'STEP1_SENT',
    ...{ attempt, since, path, opened },
    sending: first(m1, now, c),
  }
  return { next, effects: [{ do: 'send', path, message: m1 }] }
}

const first = (message: Uint8Array, now: Millis, c: InitiatorContext): Sending => ({
  message,
  times: 1,
  dueAt: now + (c.limits.retransmitMs[0] ?? 0),
})

type Attempt = Extract<InitiatorState, { sending: Sending }>

/** Sends the same octets again, or gives the attempt up and starts one with fresh numbers. */
function repeat(s: Attempt, now: Millis, c: InitiatorContext): Result {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait !== undefined) {
    const next: Attempt = { ...s, sending: { message, times: times + 1, dueAt: now + wait } }
    const silence = s.attempt === 1 && times + 1 === SILENT_TIMES ? unanswered(next) : undefined
    return {
      next,
      effects: [
        ...(silence === undefined ? [] : [{ do: 'silent', silence } as const]),
        { do: 'count', counter: 'prephase.retransmitted' },
        { do: 'send', path: s.path, message },
      ],
    }
  }
  forget(s)
  const timeout: Effect = { do: 'count', counter: 'prephase.timeout' }
  if (s.attempt < c.limits.attempts) {
    const again = begin(s.attempt + 1, s.since, now, c)
    return { next: again.next, effects: [timeout, ...again.effects] }
  }
  const reason =
    s.kind === 'STEP1_SENT'
      ? `no answer to step 1 in ${s.attempt} attempts: ${WHY_NO_STEP_2}`
      : `step 3 was not confirmed in the last of ${s.attempt} attempts: ${WHY_NO_STEP_4}`
  return { next: IDLE, effects: [timeout, { do: 'failed', reason }] }
}

type AwaitingStep2 = Extract<InitiatorState, { kind: 'STEP1_SENT' }>
type AwaitingStep4 = Extract<InitiatorState, { kind: 'STEP3_SENT' }>

function prove(s: AwaitingStep2, e: Received<2, 'STEP2'>, now: Millis, c: InitiatorContext): Result {
  if (equalOctets(e.cr, s.opened.ci)) return refused(s, 'own-cookie')
  if (e.m.scheme !== c.code.scheme)
    return refused(s, 'scheme-mismatch', { ours: c.code.scheme, theirs: e.m.scheme })
  if (equalOctets(e.m.id, c.localId)) return refused(s, 'own-id')
  if (!equalOctets(e.m.id, c.remoteId))
    return refused(s, 'other-id', { id: formatIdBody(e.m.id), expected: formatIdBody(c.remoteId) })
  const cr = new Uint8Array(e.cr)
  const nb = c.code.openStep2(s.opened, cr, e.m, e.message)
  if (nb === undefined) return refused(s, 'bad-proof', { step: 2 })
  const answered: Answered = { ...s.opened, cr, nb, m2: new Uint8Array(e.message) }
  const m3 = c.code.step3(answered)
  const proved: Proved = { ...answered, m3 }
  const { attempt } = s
  return {
    next: { kind: 'STEP3_SENT', attempt, since: now, path: e.path, proved, sending: first(m3, now, c) },
    effects: [{ do: 'send', path: e.path, message: m3 }],
  }
}

function finish(s: AwaitingStep4, e: Received<4, 'STEP4'>, c: InitiatorContext): Result {
  if (!equalOctets(e.cr, s.proved.cr)) return refused(s, 'unknown-cookie')
  if (!c.code.checkStep4(s.proved, e.m, e.message)) return refused(s, 'bad-proof', { step: 4 })
  const result: PrephaseResult = {
    peer: c.peer,
    role: 'initiator',
    initiatorCookie: s.proved.ci,
    responderCookie: s.proved.cr,
    ...c.code.keys({ ...s.proved, m4: e.message }),
    local: e.path.local,
    remote: e.path.remote,
  }
  forget(s)
  return { next: IDLE, effects: [{ do: 'finished', result }] }
}

function hold(now: Millis, c: InitiatorContext): Result {
  return { next: { kind: 'HOLD', since: now, until: now + c.limits.holdMs }, effects: [] }
}

function standBack(s: AwaitingStep2, now: Millis, c: InitiatorContext): Result {
  forget(s)
  return hold(now, c)
}

type Holding = Extract<InitiatorState, { kind: 'HOLD' }>

/** At most three times the hold in all, so that strangers who finish classic exchanges cannot hold us for ever. */
function extend(s: Holding, now: Millis, c: InitiatorContext): Result {
  const until = Math.min(now + c.limits.holdMs, s.since + 3 * c.limits.holdMs)
  return { next: { ...s, until: Math.max(s.until, until) }, effects: [] }
}

function drop(s: InitiatorState): Result {
  forget(s)
  return { next: IDLE, effects: [] }
}

/** Wipes the secrets of a state that is left for good. */
export function forget(s: InitiatorState): void {
  if (s.kind === 'STEP1_SENT') wipe(s.opened.na)
  else if (s.kind === 'STEP3_SENT') wipe(s.proved.na, s.proved.nb)
}
