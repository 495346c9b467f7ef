import { equalOctets, wipe } from '../../bytes/octets.js'
import type { Millis } from '../environment.js'
import type { Trouble } from '../trouble.js'
import type { PrephaseLimits } from './limits.js'
import { type Outcome, type Path, refused, type Table } from './machine.js'
import { type MessageOf, NONCE_LEN } from './messages.js'
import type { Answered, Opened, PairCode } from './pair-code.js'
import type { PrephaseResult } from './types.js'

// One exchange that a peer began.
//
//         STEP1 (verified)         STEP3 (verified)          TAKE, DUE, EVICT
//   NEW -----------------> HALF_OPEN -----------> FINISHED -----------------> GONE
//                              `-------------- DUE, EVICT ---------------------^

/** The messages of a finished exchange, kept to answer repetitions with the same octets. */
interface Messages {
  readonly m1: Uint8Array
  readonly m2: Uint8Array
  readonly m3: Uint8Array
  readonly m4: Uint8Array
}

export type ResponderState =
  | { readonly kind: 'NEW' }
  | {
      readonly kind: 'HALF_OPEN'
      readonly answered: Answered
      readonly since: Millis
      /** Times that step 2 was sent again. */
      readonly repeats: number
      readonly until: Millis
    }
  | {
      readonly kind: 'FINISHED'
      readonly messages: Messages
      readonly result: PrephaseResult
      readonly repeats: number
      readonly until: Millis
    }
  | { readonly kind: 'GONE' }

export type ResponderEvent =
  /** A step 1 that was admitted and verified; `opened` is the exchange's own from here on. */
  | { readonly kind: 'STEP1'; readonly opened: Opened; readonly path: Path }
  /** A message with the cookie of this exchange and step number 1. */
  | { readonly kind: 'STEP1_AGAIN'; readonly message: Uint8Array; readonly path: Path }
  | {
      readonly kind: 'STEP3'
      readonly m: MessageOf<3>
      readonly message: Uint8Array
      readonly path: Path
    }
  | { readonly kind: 'TAKE' }
  | { readonly kind: 'DUE' }
  /** Room is needed for a newer exchange. */
  | { readonly kind: 'EVICT' }

export interface ResponderContext {
  readonly peer: string
  readonly code: PairCode
  readonly limits: PrephaseLimits
  random(length: number): Uint8Array
  newCookie(): Uint8Array
}

type Result = Outcome<ResponderState>
type HalfOpen = Extract<ResponderState, { kind: 'HALF_OPEN' }>
type Finished = Extract<ResponderState, { kind: 'FINISHED' }>
const GONE: ResponderState = { kind: 'GONE' }

export const RESPONDER: Table<ResponderState, ResponderEvent, ResponderContext> = {
  NEW: {
    STEP1: {
      story: 'step 1 accepted, send step 2',
      run: (_s, e, now, c) => answer(e.opened, e.path, now, c),
    },
  },
  HALF_OPEN: {
    STEP1_AGAIN: {
      story: 'step 1 repeated, repeat step 2',
      run: (s, e, _now, c) => again(s, e, s.answered.m1, s.answered.m2, c),
    },
    STEP3: { story: 'step 3 verifies, finished', run: (s, e, now, c) => confirm(s, e, now, c) },
    DUE: { story: 'step 3 did not come', run: (s) => expire(s) },
    EVICT: { story: 'dropped for a newer exchange', run: (s) => discard(s, 'prephase.evicted') },
  },
  FINISHED: {
    STEP1_AGAIN: {
      story: 'step 1 repeated, repeat step 2',
      run: (s, e, _now, c) => again(s, e, s.messages.m1, s.messages.m2, c),
    },
    STEP3: {
      story: 'step 3 repeated, repeat step 4',
      run: (s, e, _now, c) => again(s, e, s.messages.m3, s.messages.m4, c),
    },
    TAKE: { story: 'the IKE exchange has come', run: () => ({ next: GONE, effects: [] }) },
    DUE: { story: 'no IKE exchange came', run: (s) => discard(s, 'prephase.unused') },
    EVICT: { story: 'dropped for a newer exchange', run: (s) => discard(s, 'prephase.evicted') },
  },
  GONE: {},
}

/** Step 2 sent again so often is worth a word: less may be chance. */
const SILENT_REPEATS = 2

/**
 * That the peer repeats step 1 instead of going on. Classic does not authenticate step 1, so that nobody has proved to be
 * its sender.
 */
export function notFollowed(s: ResponderState): Trouble | undefined {
  if (s.kind !== 'HALF_OPEN' || s.repeats < SILENT_REPEATS) return undefined
  const message =
    'the peer repeats step 1 after our answer: the answer does not reach it, or it refuses us (its log tells why)'
  return { message, at: s.since }
}

function answer(opened: Opened, path: Path, now: Millis, c: ResponderContext): Result {
  const cr = c.newCookie()
  const nb = c.random(NONCE_LEN)
  const m2 = c.code.step2(opened, cr, nb)
  return {
    next: {
      kind: 'HALF_OPEN',
      answered: { ...opened, cr, nb, m2 },
      since: now,
      repeats: 0,
      until: now + c.limits.halfOpenMs,
    },
    effects: [{ do: 'send', path, message: m2 }],
  }
}

function confirm(
  s: HalfOpen,
  e: { m: MessageOf<3>; message: Uint8Array; path: Path },
  now: Millis,
  c: ResponderContext,
): Result {
  if (!c.code.checkStep3(s.answered, e.m, e.message)) return refused(s, 'bad-proof', { step: 3 })
  const { ci, cr, m1, m2 } = s.answered
  const m3 = new Uint8Array(e.message)
  const proved = { ...s.answered, m3 }
  const m4 = c.code.step4(proved)
  const result: PrephaseResult = {
    peer: c.peer,
    role: 'responder',
    initiatorCookie: ci,
    responderCookie: cr,
    ...c.code.keys({ ...proved, m4 }),
    local: e.path.local,
    remote: e.path.remote,
  }
  wipe(s.answered.na, s.answered.nb)
  return {
    next: {
      kind: 'FINISHED',
      messages: { m1, m2, m3, m4 },
      result,
      repeats: 0,
      until: now + c.limits.finishedMs,
    },
    effects: [
      { do: 'send', path: e.path, message: m4 },
      { do: 'finished', result },
    ],
  }
}

/** The same octets get the same answer, so often; other octets under the same cookie get none. */
function again(
  s: HalfOpen | Finished,
  e: { readonly kind: string; readonly message: Uint8Array; readonly path: Path },
  known: Uint8Array,
  message: Uint8Array,
  c: ResponderContext,
): Result {
  if (!equalOctets(e.message, known)) return refused(s, e.kind === 'STEP3' ? 'bad-proof' : 'cookie-reused')
  if (s.repeats >= c.limits.repeats) return refused(s, 'repeat-limit')
  const next = { ...s, repeats: s.repeats + 1 }
  const silence = next.repeats === SILENT_REPEATS ? notFollowed(next) : undefined
  return {
    next,
    effects: [
      ...(silence === undefined ? [] : [{ do: 'silent', silence } as const]),
      { do: 'count', counter: 'prephase.repeated' },
      { do: 'send', path: e.path, message },
    ],
  }
}

function expire(s: HalfOpen): Result {
  const { next, effects } = discard(s, 'prephase.half-open-expired')
  const silence = notFollowed(s)
  return {
    next,
    effects: silence === undefined ? effects : [...effects, { do: 'silent', silence, over: true }],
  }
}

function discard(s: HalfOpen | Finished, counter: string): Result {
  forgetSession(s)
  return { next: GONE, effects: [{ do: 'count', counter }] }
}

/** Wipes the secrets of a state that is left for good and that nobody has taken. */
export function forgetSession(s: ResponderState): void {
  if (s.kind === 'HALF_OPEN') wipe(s.answered.na, s.answered.nb)
  else if (s.kind === 'FINISHED') wipe(s.result.psk, s.result.ppk)
}
