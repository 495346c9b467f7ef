import { NOTIFY, PROTOCOL } from '../../wire/ike/v1/numbers.js'
import type { SaPayload } from '../../wire/ike/v1/sa.js'
import type { ChildConfig } from '../config.js'
import { formatFields } from '../differences.js'
import type { Millis } from '../environment.js'
import { emitExplanation, explained } from '../explanation.js'
import type { Missing } from '../ike-sa.js'
import { ownPhase2Fields } from './phase2-offer.js'
import {
  forgetQuickMode,
  type QuickModeContext,
  type QuickModeEffect,
  type QuickModeEvent,
  type QuickModeIn,
  type QuickModeOutcome,
  type QuickModeState,
} from './quick-mode-states.js'
import { formatChildSelectors } from './selectors.js'

// How a step of Quick Mode may end, besides going on: by settling, repeating, refusing or giving up.

/** How often message 1 is sent out of turn. */
const HURRIED_MAX = 6

export const CLOSED: QuickModeState = { kind: 'CLOSED' }

/** Responder: the initiator has the new SA, so traffic may move to it. */
export function settle(
  s: QuickModeIn<'ANSWERED'>,
  received: Uint8Array,
  now: Millis,
  c: QuickModeContext,
): QuickModeOutcome {
  return {
    next: { kind: 'DONE', received, answer: undefined, repeats: 0, until: now + c.limits.finishedMs },
    effects: [{ do: 'outbound', agreed: s.agreed, key: s.outboundKey }],
  }
}

export function repeatFirst(s: QuickModeIn<'SENT'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return fail(s, s.child, 'no answer to Quick Mode message 1', 'answer')
  return {
    next: { ...s, sending: { ...s.sending, times: times + 1, dueAt: now + wait }, sentAt: now },
    effects: resent(message),
  }
}

/** Packets wait: message 1 goes out of turn, not faster than at first, and a bounded number of times. The schedule stays. */
export function hurryFirst(s: QuickModeIn<'SENT'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  if (now - s.sentAt < (c.limits.retransmitMs[0] ?? 0) || s.hurried >= HURRIED_MAX)
    return { next: s, effects: [] }
  return { next: { ...s, sentAt: now, hurried: s.hurried + 1 }, effects: resent(s.sending.message) }
}

/**
 * The peer's exchange goes on in the place of ours. Another sallyport gives up its answer to ours, if there is one; others do not
 * know of that, repeat it, and at last take us for dead: it stays good for being finished.
 */
export function yieldFirst(s: QuickModeIn<'SENT'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  // What only a sallyport says.
  if (c.phase1.capabilities.extendedNumbers) return cancel(s)
  const { sending: _, sentAt: __, hurried: ___, ...asked } = s
  return { next: { ...asked, kind: 'YIELDED', until: now + c.limits.finishedMs }, effects: [] }
}

/** Message 3 has no answer of its own, so that the responder has to ask for it with message 2. */
export function remind(s: QuickModeIn<'ANSWERED'>, now: Millis, c: QuickModeContext): QuickModeOutcome {
  const { message, times } = s.sending
  const wait = c.limits.retransmitMs[times]
  if (wait === undefined) return abandon(s)
  return {
    next: { ...s, sending: { ...s.sending, times: times + 1, dueAt: now + wait } },
    effects: resent(message),
  }
}

export function repeatSecond(s: QuickModeIn<'ANSWERED'>, c: QuickModeContext): QuickModeOutcome {
  if (s.repeats >= c.limits.repeats) return refusal(s, 'repeat-limit', false)
  return { next: { ...s, repeats: s.repeats + 1 }, effects: resent(s.sending.message) }
}

export function repeatLast(s: QuickModeIn<'DONE'>, c: QuickModeContext): QuickModeOutcome {
  if (s.answer === undefined || s.repeats >= c.limits.repeats) return refusal(s, 'repeated', false)
  return { next: { ...s, repeats: s.repeats + 1 }, effects: resent(s.answer) }
}

const resent = (message: Uint8Array): QuickModeEffect[] => [
  { do: 'count', counter: 'ike.retransmitted' },
  { do: 'send', message },
]

function abandon(s: QuickModeIn<'ANSWERED'>): QuickModeOutcome {
  const { next, effects } = takeBack(s)
  const reason = 'Quick Mode message 3 did not come'
  return {
    next,
    effects: [
      ...effects,
      { do: 'failed', child: s.agreed.child, reason, missing: 'confirmation', fields: {} },
    ],
  }
}

/** Ends it; nobody misses anything. */
export function cancel(s: QuickModeState): QuickModeOutcome {
  forgetQuickMode(s)
  return { next: CLOSED, effects: [] }
}

/** Ends it, and the half SA that message 2 promised. */
export function takeBack(s: QuickModeIn<'ANSWERED'>): QuickModeOutcome {
  const { next } = cancel(s)
  return { next, effects: [{ do: 'abandon', agreed: s.agreed }] }
}

/** @param missing what the peer did not send at all */
export function fail(
  s: QuickModeState,
  child: ChildConfig,
  reason: string,
  missing?: Missing,
  fields: Record<string, unknown> = {},
): QuickModeOutcome {
  forgetQuickMode(s)
  return { next: CLOSED, effects: [{ do: 'failed', child, reason, missing, fields }] }
}

/** The peer has said no to message 1. */
export function refusedBy(
  s: QuickModeIn<'SENT'>,
  { notify, why }: Extract<QuickModeEvent, { kind: 'REFUSED' }>,
): QuickModeOutcome {
  const selectors = notify === 'INVALID_ID_INFORMATION'
  const ours = selectors ? [formatChildSelectors(s.child)] : ownPhase2Fields(s.variants).map(formatFields)
  const fields = { ours, ...(why !== undefined && why.theirs.length > 0 && { theirs: why.theirs }) }
  const asked = selectors && why === undefined ? `: it has no child for ${ours}` : ''
  return fail(s, s.child, `the peer says ${explained(notify, why)}${asked}`, undefined, fields)
}

export const unverified = (s: QuickModeState): QuickModeOutcome => refusal(s, 'bad-hash', false)

export const refusal = (next: QuickModeState, cause: string, authentic: boolean): QuickModeOutcome => ({
  next,
  effects: [{ do: 'refuse', cause, authentic }],
})

/** What we refuse of an authenticated message 1, and the words for it. */
export interface Declined {
  readonly sa: SaPayload | undefined
  readonly notify: keyof typeof NOTIFY
  readonly error: string
  readonly fields?: Record<string, unknown>
  /** For the peer, where it is not the same as our own error. */
  readonly told?: string
}

/** Refuses an authenticated message 1 and tells the peer so, again when it asks again. */
export function decline(
  message: Uint8Array,
  { sa, notify, error, fields = {}, told = error }: Declined,
  now: Millis,
  c: QuickModeContext,
): QuickModeOutcome {
  const proposal = sa?.proposals[0]
  const refusal = {
    type: NOTIFY[notify],
    protocol: proposal?.protocol ?? PROTOCOL.ESP,
    spi: new Uint8Array(proposal?.spi ?? []),
    data: emitExplanation(told, Array.isArray(fields.ours) ? fields.ours.map(String) : []),
  }
  const cause = notify.toLowerCase().replaceAll('_', '-')
  const until = now + c.limits.finishedMs
  return {
    next: { kind: 'DECLINED', received: new Uint8Array(message), notify: refusal, repeats: 0, until },
    effects: [
      { do: 'refuse', cause, authentic: true, error: `${notify}: ${error}`, fields },
      { do: 'notify', refusal },
    ],
  }
}

/** A Message ID is good for one Informational: each time it is another one. */
export function declineAgain(s: QuickModeIn<'DECLINED'>, c: QuickModeContext): QuickModeOutcome {
  if (s.repeats >= c.limits.repeats) return refusal(s, 'repeat-limit', false)
  return {
    next: { ...s, repeats: s.repeats + 1 },
    effects: [
      { do: 'count', counter: 'ike.retransmitted' },
      { do: 'notify', refusal: s.notify },
    ],
  }
}
