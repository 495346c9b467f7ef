import { WireError } from '../../errors.js'
import type { PayloadInit } from '../../wire/ike/payloads.js'
import { NOTIFY, type NotifyName } from '../../wire/ike/v2/numbers.js'
import { EXPLANATION_MAX, type Explanation, emitExplanation, readExplanation } from '../explanation.js'
import { notify, type PayloadSet, UnknownCritical } from './payload-set.js'

// A refusal as it goes over the wire: the notify that the RFC has for it, and behind it the reason for the peer's operator.

/** Octets of a Notify payload in front of its data. */
const NOTIFY_HEADER = 8

export interface Refusal {
  readonly notify: NotifyName
  readonly data?: Uint8Array | undefined
  /** As we see it; without one nothing is explained. */
  readonly reason?: string | undefined
  /** Public facts for the log; `ours` is told to the peer. */
  readonly fields?: Readonly<Record<string, unknown>> | undefined
}

/** @param room octets that the explanation may take with its header */
export function refusalPayloads(r: Refusal, room = EXPLANATION_MAX + NOTIFY_HEADER): PayloadInit[] {
  const plain = notify(r.notify, r.data)
  if (r.reason === undefined) return [plain]
  const ours = r.fields?.ours
  const have = Array.isArray(ours) ? ours.map(String) : []
  const data = emitExplanation(r.reason, have, room - NOTIFY_HEADER)
  return data.length === 0 ? [plain] : [plain, notify('SALLYPORT_EXPLANATION', data)]
}

/** What an authentic request that cannot be read is answered with (RFC 7296 sections 2.5 and 2.21); undefined for our own faults. */
export function notifyFor(
  error: unknown,
): { readonly name: NotifyName; readonly data?: Uint8Array } | undefined {
  if (error instanceof UnknownCritical)
    return { name: 'UNSUPPORTED_CRITICAL_PAYLOAD', data: Uint8Array.of(error.payload) }
  return error instanceof WireError ? { name: 'INVALID_SYNTAX' } : undefined
}

/** What the peer says about its refusal. */
export function explanationIn(set: PayloadSet): Explanation | undefined {
  const found = set.notify(NOTIFY.SALLYPORT_EXPLANATION)
  return found && readExplanation(found.data)
}
