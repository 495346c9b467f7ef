import type { Table } from '../transition-table.js'
import { begin, checkPeer, sendAuth, sendKe } from './main-mode-initiator.js'
import {
  again,
  answerAgain,
  answerLast,
  fail,
  NO_MESSAGE_3,
  NO_MESSAGE_5,
  repeated,
} from './main-mode-outcomes.js'
import { admit, answerKe, answerSa } from './main-mode-responder.js'
import type { MainModeContext, MainModeEffect, MainModeEvent, MainModeState } from './main-mode-states.js'

// Main Mode with a pre-shared key, RFC 2409 section 5.4, with NAT detection (RFC 3947).
//
//   1  I -> R  SA, VID...              4  R -> I  KE, Nr, NAT-D...
//   2  R -> I  SA, VID...              5  I -> R  encrypted: ID, HASH_I, N(INITIAL_CONTACT)
//   3  I -> R  KE, Ni, NAT-D...        6  R -> I  encrypted: ID, HASH_R, N(INITIAL_CONTACT)

export const MAIN_MODE: Table<MainModeState, MainModeEvent, MainModeContext, MainModeEffect> = {
  IDLE: {
    BEGIN: { story: 'send message 1: our proposals', run: (_s, e, now, c) => begin(e, now, c) },
    FIRST: {
      story: 'message 1: choose a proposal, send message 2',
      run: (_s, e, now, c) => answerSa(e, now, c),
    },
  },
  SA_SENT: {
    MESSAGE: {
      story: 'message 2: proposal agreed, send message 3',
      run: (s, e, now, c) => sendKe(s, e, now, c),
    },
    DUE: { story: 'message 1 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  KE_SENT: {
    MESSAGE: { story: 'message 4: keys made, send message 5', run: (s, e, now, c) => sendAuth(s, e, now, c) },
    REPEAT: { story: 'message 2 repeated', run: (s) => repeated(s) },
    DUE: { story: 'message 3 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  AUTH_SENT: {
    MESSAGE: { story: 'message 6: the peer is who it should be', run: (s, e, _now, c) => checkPeer(s, e, c) },
    REPEAT: { story: 'message 4 repeated', run: (s) => repeated(s) },
    REFUSED: { story: 'the peer refuses message 5', run: (s, e) => fail(s, `the peer says ${e.notify}`) },
    DUE: { story: 'message 5 not answered', run: (s, _e, now, c) => again(s, now, c) },
  },
  SA_ANSWERED: {
    MESSAGE: { story: 'message 3: keys made, send message 4', run: (s, e, now, c) => answerKe(s, e, now, c) },
    REPEAT: {
      story: 'message 1 repeated, repeat message 2',
      run: (s, e, _now, c) => answerAgain(s, e.path, c),
    },
    DUE: { story: 'message 3 did not come', run: (s) => fail(s, NO_MESSAGE_3) },
  },
  KE_ANSWERED: {
    MESSAGE: {
      story: 'message 5: the peer is who it should be, send message 6',
      run: (s, e, _n, c) => admit(s, e, c),
    },
    REPEAT: {
      story: 'message 3 repeated, repeat message 4',
      run: (s, e, _now, c) => answerAgain(s, e.path, c),
    },
    DUE: { story: 'no valid message 5 came', run: (s) => fail(s, s.wrong ?? NO_MESSAGE_5) },
  },
  ESTABLISHED: {
    REPEAT: { story: 'message 5 repeated, repeat message 6', run: (s, e, _n, c) => answerLast(s, e.path, c) },
  },
  FAILED: {},
}
