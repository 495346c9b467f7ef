import type { Table } from '../transition-table.js'
import { receiveAuth } from './auth-initiator.js'
import { answerAuth } from './auth-responder.js'
import { fail, NO_AUTH, silent } from './first-outcomes.js'
import type { FirstContext, FirstEffect, FirstEvent, FirstState } from './first-states.js'
import { begin, receiveInit } from './init-initiator.js'
import { answerInit } from './init-responder.js'
import { answerIntermediate, receiveIntermediate } from './intermediate.js'

// The first exchanges with a pre-shared key, RFC 7296 sections 1.2 and 2.15.
//
//   IKE_SA_INIT  I -> R  [N(COOKIE)], SA, KE, Ni, N(NAT_DETECTION...)   R -> I  SA, KE, Nr, N...   or N(COOKIE, INVALID_KE_PAYLOAD)
//   [IKE_INTERMEDIATE  I -> R  encrypted: KE          R -> I  encrypted: KE]
//   IKE_AUTH     I -> R  encrypted: IDi, IDr, AUTH, [SA, TSi, TSr]      R -> I  encrypted: IDr, AUTH, [SA, TSi, TSr]

export const FIRST_EXCHANGES: Table<FirstState, FirstEvent, FirstContext, FirstEffect> = {
  IDLE: {
    BEGIN: { story: 'send IKE_SA_INIT: our proposals', run: (_s, e, _now, c) => begin(e, c) },
    FIRST: {
      story: 'IKE_SA_INIT: agreed, keys made, answered',
      run: (_s, e, now, c) => answerInit(e, now, c),
    },
  },
  INIT_SENT: {
    RESPONSE: {
      story: 'IKE_SA_INIT answered: keys made, send IKE_AUTH',
      run: (s, e, now, c) => receiveInit(s, e, now, c),
    },
    SILENT: { story: 'IKE_SA_INIT not answered', run: (s, _e, _now, c) => silent(s, c) },
  },
  INTERMEDIATE_SENT: {
    RESPONSE: {
      story: 'IKE_INTERMEDIATE answered: second key exchange done, send IKE_AUTH',
      run: (s, e, now, c) => receiveIntermediate(s, e, now, c),
    },
    SILENT: { story: 'IKE_INTERMEDIATE not answered', run: (s, _e, _now, c) => silent(s, c) },
  },
  AUTH_SENT: {
    RESPONSE: {
      story: 'IKE_AUTH answered: the peer is who it should be',
      run: (s, e, _now, c) => receiveAuth(s, e, c),
    },
    SILENT: { story: 'IKE_AUTH not answered', run: (s, _e, _now, c) => silent(s, c) },
  },
  INIT_ANSWERED: {
    REQUEST: {
      story:
        'IKE_AUTH: the peer is who it should be, answered; IKE_INTERMEDIATE before it: second key exchange, answered',
      run: (s, e, now, c) => (s.pendingKe ? answerIntermediate(s, e, c) : answerAuth(s, e, now, c)),
    },
    DUE: { story: 'IKE_AUTH did not come', run: (s) => fail(s, NO_AUTH) },
  },
  ESTABLISHED: {},
  FAILED: {},
}
