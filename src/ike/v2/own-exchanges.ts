import { EXCHANGE } from '../../wire/ike/header.js'
import { emitDelete } from '../../wire/ike/v2/notify.js'
import { PAYLOAD, PROTOCOL } from '../../wire/ike/v2/numbers.js'
import type { Table } from '../transition-table.js'
import { tellToken } from './crash-token.js'
import { createChild, receiveChild } from './create-child.js'
import { finishChild, finishRekey } from './follow-up.js'
import { protocolNumber } from './offer.js'
import {
  IDLE,
  type OwnContext,
  type OwnEffect,
  type OwnEvent,
  type OwnOutcome,
  type OwnState,
} from './own-states.js'
import { receiveRekey, rekeyIke } from './rekey-ike.js'

// Our requests under an established IKE SA, RFC 7296 sections 1.3 and 1.4: one at a time.

export const OWN_EXCHANGES: Table<OwnState, OwnEvent, OwnContext, OwnEffect> = {
  IDLE: {
    CREATE: { story: 'ask for a CHILD_SA', run: (_s, e, now, c) => createChild(e, now, c) },
    REKEY: { story: 'ask for a new IKE SA', run: (_s, _e, _now, c) => rekeyIke(c) },
    DELETE: { story: 'delete CHILD_SAs', run: (_s, e) => deleteChildren(e) },
    CLOSE: { story: 'delete the IKE SA', run: () => close() },
    TELL: {
      story: 'tell the token by which the peer will know that we have crashed',
      run: (_s, _e, _now, c) => ({
        next: { kind: 'ASKING' },
        effects: [
          { do: 'request', exchange: EXCHANGE.INFORMATIONAL, payloads: tellToken(c.crashSecret, c.keying) },
        ],
      }),
    },
    ASK: {
      story: 'ask whether the peer is alive',
      run: (_s, _e, _now, c) => ({
        next: { kind: 'ASKING' },
        effects: [
          {
            do: 'request',
            exchange: EXCHANGE.INFORMATIONAL,
            payloads: [],
            schedule: c.limits.dpdRetransmitMs,
          },
        ],
      }),
    },
  },
  CREATING: {
    RESPONSE: { story: 'CHILD_SA answered', run: (s, e, _now, c) => receiveChild(s, e.set, c) },
    CHILD_RIVAL: {
      story: 'both ask for the same CHILD_SA',
      run: (s, e) => ({ next: { ...s, rival: e.rival }, effects: [] }),
    },
    RIVAL_GONE: {
      story: 'the peer has deleted its own again',
      run: (s) => ({ next: { ...s, rival: undefined }, effects: [] }),
    },
  },
  REKEYING: {
    RESPONSE: { story: 'new IKE SA answered', run: (s, e, _now, c) => receiveRekey(s, e.set, c) },
    IKE_RIVAL: {
      story: 'both ask for a new IKE SA',
      run: (s, e) => ({ next: { ...s, rival: e.rival }, effects: [] }),
    },
  },
  CREATING_KE: {
    RESPONSE: {
      story: 'second key exchange for a CHILD_SA',
      run: (s, e, _now, c) => finishChild(s, e.set, c),
    },
  },
  REKEYING_KE: {
    RESPONSE: {
      story: 'second key exchange for an IKE SA',
      run: (s, e, _now, c) => finishRekey(s, e.set, c),
    },
  },
  DELETING: {
    RESPONSE: {
      story: 'CHILD_SAs deleted',
      run: (s) => ({ next: IDLE, effects: [{ do: 'deleted', children: s.children }] }),
    },
  },
  CLOSING: {
    RESPONSE: { story: 'IKE SA deleted', run: () => ({ next: IDLE, effects: [{ do: 'closed' }] }) },
  },
  ASKING: {
    RESPONSE: { story: 'the peer is alive', run: () => ({ next: IDLE, effects: [] }) },
  },
}

function deleteChildren(e: Extract<OwnEvent, { kind: 'DELETE' }>): OwnOutcome {
  const body = emitDelete({ protocol: protocolNumber(e.protocol), spis: e.spis })
  return {
    next: { kind: 'DELETING', children: e.children },
    effects: [
      { do: 'request', exchange: EXCHANGE.INFORMATIONAL, payloads: [{ type: PAYLOAD.DELETE, body }] },
    ],
  }
}

function close(): OwnOutcome {
  const body = emitDelete({ protocol: PROTOCOL.IKE, spis: [] })
  return {
    next: { kind: 'CLOSING' },
    effects: [
      { do: 'request', exchange: EXCHANGE.INFORMATIONAL, payloads: [{ type: PAYLOAD.DELETE, body }] },
    ],
  }
}

/** What the peer may ask for while a request of ours is under way. */
export type PeersWish = 'CHILD' | 'REKEY_IKE'

/**
 * What it gets then, RFC 7296 section 2.25: an answer, or TEMPORARY_FAILURE. Where both ask for the same, both are answered,
 * and the nonces decide which SA stays (section 2.8.1). Deletes are always answered.
 */
export const WHILE: Readonly<Record<OwnState['kind'], Readonly<Record<PeersWish, 'answer' | 'later'>>>> = {
  IDLE: { CHILD: 'answer', REKEY_IKE: 'answer' },
  CREATING: { CHILD: 'answer', REKEY_IKE: 'later' },
  REKEYING: { CHILD: 'later', REKEY_IKE: 'answer' },
  // The peer has agreed to ours: whatever else it wants of the same comes too late.
  CREATING_KE: { CHILD: 'answer', REKEY_IKE: 'later' },
  REKEYING_KE: { CHILD: 'later', REKEY_IKE: 'later' },
  DELETING: { CHILD: 'answer', REKEY_IKE: 'later' },
  CLOSING: { CHILD: 'later', REKEY_IKE: 'later' },
  ASKING: { CHILD: 'answer', REKEY_IKE: 'answer' },
}
