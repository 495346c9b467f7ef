import type { InitiatorState } from './initiator.js'

// Both ends starting at once must end with one pre-phase that both have finished, because its initiator then begins IKE
// and a second one would give a second IKE SA. The rule, which each end applies when the peer's step 1 has verified:
//
// - Own attempt waits for step 2: the lower initiator cookie goes first (as octets, unsigned, from the left). If that is
//   ours, the peer's step 1 is dropped without a trace; its timestamp is not taken as accepted, so that its repetition
//   may be answered later. If it is the peer's, our attempt is dropped and the peer's answered.
// - Own attempt waits for step 4: ours goes first whatever the cookies say, because the peer may have finished it already.
// - An attempt that stood back (HOLD), or that would start just after the peer's has finished here, waits for `holdMs`.
//   When the peer's IKE exchange comes within that time, it is over; otherwise it starts anew with fresh numbers, so that
//   a peer that fell silent, or a stranger's step 1 in classic, costs a delay and not the connection.
//
// Why A's attempt a and B's attempt b cannot both finish at both ends, unless one began after its end's hold had run out:
// while a is under way, A either drops b's step 1 or ends a by answering it; so A answered b before it began a, or after a
// was confirmed, and likewise B. Both "after" is a circle in time, so let A have answered b before it began a (the other
// case is the same with the names exchanged). Then B had begun b when it answered a, so it answered a after b was
// confirmed, hence after A had finished b as responder. If a was under way at that moment, its step 1 was still unanswered
// and it went into HOLD: a never finished. If not, A began a with b's result waiting, which is the START_AFTER_PEER that
// holds.

/** Whether our own attempt goes before a peer's that has just shown this cookie. */
export function goesFirst(own: InitiatorState, peersCookie: Uint8Array): boolean {
  switch (own.kind) {
    case 'STEP1_SENT':
      return lower(own.opened.ci, peersCookie)
    case 'STEP3_SENT':
      return true
    case 'IDLE':
    case 'HOLD':
      return false
  }
}

function lower(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]!
  return false
}
