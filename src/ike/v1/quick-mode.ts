import type { Table } from '../transition-table.js'
import { begin, finish } from './quick-mode-initiator.js'
import {
  cancel,
  declineAgain,
  hurryFirst,
  refusedBy,
  remind,
  repeatFirst,
  repeatLast,
  repeatSecond,
  settle,
  takeBack,
  yieldFirst,
} from './quick-mode-outcomes.js'
import { answer, confirm } from './quick-mode-responder.js'
import type {
  QuickModeContext,
  QuickModeEffect,
  QuickModeEvent,
  QuickModeState,
} from './quick-mode-states.js'

// Quick Mode, RFC 2409 section 5.5, with and without its own key exchange. All messages are encrypted.
//
//   1  I -> R  HASH(1), SA, Ni, [KE], IDci, IDcr, [NAT-OA...]
//   2  R -> I  HASH(2), SA, Nr, [KE], IDci, IDcr, [NAT-OA...]
//   3  I -> R  HASH(3)
//
// No packet is lost: the responder receives on the new SA before message 2 leaves, the initiator before message 3 does,
// and nobody sends on it before the other end receives.

export const QUICK_MODE: Table<QuickModeState, QuickModeEvent, QuickModeContext, QuickModeEffect> = {
  IDLE: {
    BEGIN: { story: 'send message 1', run: (_s, e, now, c) => begin(e.child, now, c) },
    FIRST: { story: 'message 1: agreed, send message 2', run: (_s, e, now, c) => answer(e, now, c) },
  },
  SENT: {
    MESSAGE: { story: 'message 2: agreed, send message 3', run: (s, e, now, c) => finish(s, e, now, c) },
    REFUSED: { story: 'the peer refuses', run: (s, e) => refusedBy(s, e) },
    HURRY: { story: 'packets wait, repeat message 1', run: (s, _e, now, c) => hurryFirst(s, now, c) },
    YIELD: { story: 'the peer goes first', run: (s, _e, now, c) => yieldFirst(s, now, c) },
    CANCEL: { story: 'the IKE SA ends', run: (s) => cancel(s) },
    DUE: { story: 'message 1 not answered', run: (s, _e, now, c) => repeatFirst(s, now, c) },
  },
  YIELDED: {
    MESSAGE: { story: 'the peer had answered all the same', run: (s, e, now, c) => finish(s, e, now, c) },
    REFUSED: { story: 'the peer refuses what nobody wants', run: (s) => cancel(s) },
    CANCEL: { story: 'the IKE SA ends', run: (s) => cancel(s) },
    DUE: { story: 'forgotten', run: (s) => cancel(s) },
  },
  ANSWERED: {
    MESSAGE: { story: 'message 3: confirmed', run: (s, e, now, c) => confirm(s, e, now, c) },
    REPEAT: { story: 'message 1 repeated, repeat message 2', run: (s, _e, _now, c) => repeatSecond(s, c) },
    TRAFFIC: {
      story: 'message 3 has not come, but traffic confirms',
      run: (s, _e, now, c) => settle(s, s.received, now, c),
    },
    CANCEL: { story: 'the IKE SA ends before message 3', run: (s) => takeBack(s) },
    DUE: { story: 'message 3 has not come', run: (s, _e, now, c) => remind(s, now, c) },
  },
  DONE: {
    REPEAT: { story: 'repeated, answer with the same octets', run: (s, _e, _now, c) => repeatLast(s, c) },
    CANCEL: { story: 'the IKE SA ends', run: (s) => cancel(s) },
    DUE: { story: 'forgotten', run: (s) => cancel(s) },
  },
  DECLINED: {
    REPEAT: { story: 'message 1 repeated, refuse it again', run: (s, _e, _now, c) => declineAgain(s, c) },
    CANCEL: { story: 'the IKE SA ends', run: (s) => cancel(s) },
    DUE: { story: 'forgotten', run: (s) => cancel(s) },
  },
  CLOSED: {},
}
