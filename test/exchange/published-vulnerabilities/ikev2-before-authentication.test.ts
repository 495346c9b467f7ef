import { afterEach, describe, expect, test } from 'vitest'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { authOctets, pskAuth } from '../../../src/ike/v2/auth.js'
import { sealed } from '../../../src/ike/v2/keying.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { emitKe, emitTyped } from '../../../src/wire/ike/v2/bodies.js'
import { AUTH_METHOD, FLAG, PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'
import { alter, raw, replaced, toB, unharmed, without } from '../attacker-v1.js'
import { halfway, honest, ikeV2, insider, refused, refusedFromInsider, sealing } from '../attacker-v2.js'
import { convergence, type IkeEnds } from '../ike-ends.js'

// As in before-authentication.test.ts, for IKEv2: whoever has exchanged keys, and not proved who it is.

afterEach(honest)

/** The first exchange is none the worse for it: the true message, sent again, is answered. */
function goesOn(ends: IkeEnds): void {
  ends.network.impairment = () => [5]
  expect(ends.network.runUntil(() => convergence(ends).length === 0, 10_000)).toBe(true)
  unharmed(ends)
}

describe('CVE-2014-2338, CVE-2019-12312: other exchanges in the place of IKE_AUTH', () => {
  test('by somebody who only changes the header: the ICV covers it', () => {
    for (const exchange of [EXCHANGE.INFORMATIONAL, EXCHANGE.CREATE_CHILD_SA, EXCHANGE.IKE_SA_INIT, 255]) {
      const ends = ikeV2()
      alter(ends, 1, (m) => raw(m, { exchange }, m.slice(IKE_HEADER_LEN)))
      refused(ends)
      expect(ends.b.established()).toEqual([])
      goesOn(ends)
    }
  })

  const OTHERS = [
    EXCHANGE.CREATE_CHILD_SA,
    EXCHANGE.INFORMATIONAL,
    EXCHANGE.IKE_INTERMEDIATE,
    EXCHANGE.IKE_FOLLOWUP_KE,
    EXCHANGE.IKE_SA_INIT,
    255,
  ]
  const nonce = { type: PAYLOAD.NONCE, body: new Uint8Array(32).fill(5) }
  const deletion = { type: PAYLOAD.DELETE, body: Uint8Array.of(1, 0, 0, 0) }
  /** What is said there: all that IKE_AUTH would have, or what belongs into those exchanges. */
  const SAID: [string, (p: readonly PayloadInit[]) => readonly PayloadInit[]][] = [
    ['with a right AUTH', (p) => p],
    ['with the CHILD_SA alone', (p) => [...p.filter((x) => [33, 44, 45].includes(x.type)), nonce]],
    ['with a Delete', () => [deletion]],
    ['with nothing', () => []],
  ]
  describe.each(SAID)('sealed, %s', (_, said) => {
    test.each<[string, boolean, boolean]>([
      ['requests of the initiator', true, false],
      ['responses of the responder', false, true],
      ['requests of the responder', false, false],
    ])('%s', (_what, fromInitiator, response) => {
      for (const exchange of OTHERS) {
        const ends = ikeV2()
        let sealedOthers = 0
        const whose = { exchange: EXCHANGE.IKE_AUTH, response: !fromInitiator, fromResponder: !fromInitiator }
        sealing(whose, (h, payloads) => {
          sealedOthers++
          const flags = (fromInitiator ? FLAG.INITIATOR : 0) | (response ? FLAG.RESPONSE : 0)
          return [
            { ...h, exchange, flags, ...(!fromInitiator && !response && { messageId: 0 }) },
            said(payloads),
          ]
        })
        const victim = fromInitiator ? ends.b : ends.a
        refused(ends, victim, exchange)
        expect([exchange, sealedOthers > 0, victim.established()]).toEqual([exchange, true, []])
        honest()
        unharmed(ends)
      }
    })
  })
})

describe('IKE_AUTH before the second key exchange', () => {
  const hybrid = (): IkeEnds =>
    ikeV2({ config: { proposals: [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')] } })
  /** B has answered IKE_SA_INIT, and the initiator's IKE_INTERMEDIATE is on its way to nowhere. */
  function waiting(): {
    ends: IkeEnds
    s: Extract<ReturnType<typeof halfway>, { kind: 'INTERMEDIATE_SENT' }>
  } {
    const ends = hybrid()
    ends.network.impairment = (d) => (d.message[18] === EXCHANGE.IKE_SA_INIT ? [5] : [])
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(100)
    const s = halfway(ends.a)
    if (s.kind !== 'INTERMEDIATE_SENT') throw new Error(`is in ${s.kind}`)
    return { ends, s }
  }

  test('from somebody who has our key, and would rather do with the first alone', () => {
    const { ends, s } = waiting()
    const id = emitTyped({ type: 2, data: new TextEncoder().encode('dom0-a.example') })
    const { keying, nr: nonce, request: message, psk } = s
    const prfId = keying.proposal.prf
    const data = pskAuth(prfId, psk, authOctets({ prfId, message, nonce, skp: keying.keys.pi, id }))
    const proof: PayloadInit[] = [
      { type: PAYLOAD.ID_I, body: id },
      { type: PAYLOAD.AUTH, body: emitTyped({ type: AUTH_METHOD.SHARED_KEY, data }) },
    ]
    const ke = { type: PAYLOAD.KE, body: emitKe({ method: s.share.group, data: s.share.publicValue }) }
    for (const payloads of [proof, [ke], [ke, ...proof], []])
      for (const messageId of [1, 2])
        for (const datagram of sealed(keying, EXCHANGE.IKE_AUTH, messageId, false, payloads).datagrams)
          expect(toB(ends, datagram, 20)).toEqual([])
    expect(ends.b.established()).toEqual([])
    expect(halfway(ends.b)).toMatchObject({ kind: 'INIT_ANSWERED', pendingKe: true })
    goesOn(ends)
  })

  test('as an answer to IKE_INTERMEDIATE', () => {
    const ends = hybrid()
    let changed = 0
    sealing({ exchange: EXCHANGE.IKE_INTERMEDIATE, response: true, fromResponder: true }, (h, payloads) => {
      changed++
      return [{ ...h, exchange: EXCHANGE.IKE_AUTH }, payloads]
    })
    refused(ends, ends.a)
    expect(changed).toBe(1)
    expect(halfway(ends.a).kind).toBe('INTERMEDIATE_SENT')
    honest()
    unharmed(ends)
  })
})

describe('IKE_AUTH', () => {
  test('CVE-2013-6467: IKE_AUTH that lacks an identity, a proof or everything', () => {
    for (const type of [PAYLOAD.ID_I, PAYLOAD.AUTH]) refusedFromInsider(without(type))
    refusedFromInsider(() => [])
  })

  test('CVE-2013-2944: an empty, a zero, a cut or a longer AUTH, or one of another method', () => {
    for (const change of [
      (b: Uint8Array) => b.subarray(0, 4),
      (b: Uint8Array) => Uint8Array.of(...b.subarray(0, 4), ...new Uint8Array(b.length - 4)),
      (b: Uint8Array) => b.subarray(0, b.length - 1),
      (b: Uint8Array) => Uint8Array.of(...b, 0),
      (b: Uint8Array) => Uint8Array.of(1, ...b.subarray(1)),
      (b: Uint8Array) => Uint8Array.of(13, ...b.subarray(1)),
    ])
      refusedFromInsider(replaced(PAYLOAD.AUTH, change))
  })

  test('CVE-2009-1958: IKE_AUTH without TSi, TSr or SA', () => {
    for (const type of [PAYLOAD.TS_I, PAYLOAD.TS_R, PAYLOAD.SA]) refusedFromInsider(without(type))
  })

  test('CVE-2022-40617: a certificate that is to be fetched is not', () => {
    const url = new TextEncoder().encode('http://192.0.2.66/cert')
    for (const encoding of [12, 13]) {
      const ends = ikeV2()
      insider(EXCHANGE.IKE_AUTH, (p) => [
        { type: PAYLOAD.CERT, body: Uint8Array.of(encoding, ...new Uint8Array(20), ...url) },
        ...p,
      ])
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      // It is of no concern to who proves itself otherwise, and nothing goes anywhere else.
      expect(convergence(ends)).toEqual([])
      expect(ends.network.sent.every((d) => d.to.address[3]! <= 2)).toBe(true)
      honest()
      unharmed(ends)
    }
  })
})
