import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { concat, hex } from '../../src/bytes/octets.js'
import type { IkePeerConfig } from '../../src/ike/config.js'
import { formatChildProposal, parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { childKeymat, rekeyedSkeyseed } from '../../src/ike/v2/keys.js'
import { Sealer } from '../../src/ike/v2/protection.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { parseNotify } from '../../src/wire/ike/v2/notify.js'
import { FLAG, NOTIFY, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import { renewChild, up } from './collide.js'
import { childConfig, convergence, disagreement, type IkeEnds, selector } from './ike-ends.js'

// The second key exchange of a renewal, IKE_FOLLOWUP_KE: RFC 9370 section 2.2.4.

const IKE = 'aes128gcm16-prfsha256-x25519-ke1_mlkem768'
const CLASSICAL_IKE = 'aes128gcm16-prfsha256-x25519'
const ESP = 'aes128gcm16-x25519-ke1_mlkem768'
const CLASSICAL_ESP = 'aes128gcm16-x25519'

const child = (...texts: string[]) =>
  childConfig({ proposals: texts.map((t) => parseChildProposal('esp', t)) })
const config = (ike: string[], esp: string[]): Partial<IkePeerConfig> => ({
  proposals: ike.map(parseIkeProposal),
  children: [child(...esp)],
})
const HYBRID = config([IKE], [ESP])

const { CREATE_CHILD_SA, INFORMATIONAL, IKE_FOLLOWUP_KE, IKE_INTERMEDIATE } = EXCHANGE

/** Messages since a number of datagrams, each once: one in fragments has several. */
function exchanges({ network }: IkeEnds, since = 0): number[] {
  const names = network.sent.slice(since).map((d) => hex(d.message.subarray(0, 24)))
  return network.sent
    .slice(since)
    .filter((_, i) => names.indexOf(names[i]!) === i)
    .map((d) => d.message[18]!)
}

const WISHES = {
  'the CHILD_SA': (e: IkeEnds) => renewChild(e.a, e.network.now),
  'the IKE SA': (e: IkeEnds) => void e.a.ike.rekey(e.network.now, 'b'),
} as const
const KINDS = Object.keys(WISHES) as (keyof typeof WISHES)[]

const identity = ({ a }: IkeEnds) => ({
  'the CHILD_SA': a.current()[0]?.inboundSpi,
  'the IKE SA': a.established()[0]?.initiatorSpi,
})

describe('keys', () => {
  const fill = (n: number, length: number) => new Uint8Array(length).fill(n)
  const [d, gir, ni, nr, second] = [fill(1, 32), fill(2, 32), fill(3, 32), fill(4, 16), fill(5, 32)]
  const hmac = (key: Uint8Array, ...parts: Uint8Array[]) =>
    new Uint8Array(
      createHmac('sha256', key)
        .update(concat(...parts))
        .digest(),
    )

  test('SKEYSEED of a renewed IKE SA: the second secret stands behind the nonces', () => {
    expect(rekeyedSkeyseed(5, d, gir, ni, nr, second)).toEqual(hmac(d, gir, ni, nr, second))
    expect(rekeyedSkeyseed(5, d, gir, ni, nr)).toEqual(hmac(d, gir, ni, nr))
  })

  test('KEYMAT of a CHILD_SA as well', () => {
    const seed = concat(gir, ni, nr, second)
    const one = hmac(d, seed, Uint8Array.of(1))
    const two = hmac(d, one, seed, Uint8Array.of(2))
    const { toResponder, toInitiator } = childKeymat(
      5,
      d,
      gir,
      ni,
      nr,
      parseChildProposal('esp', ESP),
      second,
    )
    // 16 octets of key and 4 of salt each.
    expect(concat(toResponder, toInitiator)).toEqual(concat(one, two).subarray(0, 40))
  })
})

test('proposals of CHILD_SAs are read and written', () => {
  expect(parseChildProposal('esp', ESP)).toMatchObject({ group: 31, additional: 36 })
  expect(formatChildProposal(parseChildProposal('ah', 'sha256-x25519-ke1_mlkem768'))).toBe(
    'sha256-x25519-ke1_mlkem768',
  )
  expect(() => parseChildProposal('esp', 'aes128gcm16-ke1_mlkem768')).toThrow(/needs a first one/)
})

describe.each(KINDS)('%s is renewed', (kind) => {
  test('after two key exchanges', () => {
    const ends = up('two', { config: HYBRID })
    const [before, since] = [identity(ends)[kind], ends.network.sent.length]
    WISHES[kind](ends)
    ends.network.runFor(1_000)
    expect(convergence(ends)).toEqual([])
    expect(identity(ends)[kind]).not.toBe(before)
    expect(exchanges(ends, since).slice(0, 6)).toEqual([
      ...[CREATE_CHILD_SA, CREATE_CHILD_SA, IKE_FOLLOWUP_KE, IKE_FOLLOWUP_KE, INFORMATIONAL, INFORMATIONAL],
    ])
    for (const e of [ends.a, ends.b]) {
      expect(e.established()[0]!.proposal).toBe(IKE)
      expect(e.env.counted('ike.malformed-authentic') + e.env.counted('ike.internal')).toBe(0)
    }
    if (kind === 'the CHILD_SA') expect(ends.b.current()[0]!.proposal).toBe(`${ESP}-esn`)
  })

  test.each([
    ['they have', [IKE, CLASSICAL_IKE], [ESP, CLASSICAL_ESP]],
    ['they have none', [CLASSICAL_IKE], [CLASSICAL_ESP]],
  ])('as the peer can: %s', (_, ike, esp) => {
    const b = config(ike, esp)
    const theirs = b.children!.map((c) => ({
      ...c,
      localTs: [selector('10.88.2.0/24')],
      remoteTs: [selector('10.88.1.0/24')],
    }))
    const ends = up('peer', {
      config: config([IKE, CLASSICAL_IKE], [ESP, CLASSICAL_ESP]),
      b: { ...b, children: theirs },
    })
    WISHES[kind](ends)
    ends.network.runFor(1_000)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.established()[0]!.proposal).toBe(ike[0])
    expect(exchanges(ends).includes(IKE_FOLLOWUP_KE)).toBe(ike.includes(IKE))
    expect(exchanges(ends).includes(IKE_INTERMEDIATE)).toBe(ike.includes(IKE))
  })

  test('any message lost, doubled or late: no gap', () => {
    for (let index = 0; index < 6; index++)
      for (const fate of [[], [5, 30], [700], [5, 2_500]]) {
        const ends = up(`${index} ${fate}`, { config: HYBRID })
        const [before, since] = [identity(ends)[kind], ends.network.sent.length]
        ends.network.impairment = (d) => (d.index === since + index ? fate : [5])
        WISHES[kind](ends)
        const found = new Set<string>()
        for (let i = 0; i < 400; i++) {
          ends.network.runFor(10)
          for (const x of disagreement(ends)) found.add(x)
        }
        ends.network.runFor(60_000)
        expect([index, fate, ...found, ...convergence(ends)]).toEqual([index, fate])
        expect(identity(ends)[kind]).not.toBe(before)
      }
  })

  test('every octet of IKE_FOLLOWUP_KE is protected', () => {
    for (const message of [2, 3])
      for (let at = 0; at < 1_100; at += 97) {
        const ends = up(`${at}`, { config: { ...HYBRID, fragmentSize: 0 } })
        const since = ends.network.sent.length
        const before = identity(ends)[kind]
        ends.network.impairment = (d) => {
          if (d.index !== since + message) return [5]
          const changed = Uint8Array.from(d.message)
          changed[at]! ^= 0x20
          ends.network.inject(d.from, d.to, changed, 5)
          return []
        }
        WISHES[kind](ends)
        ends.network.runFor(10_000)
        expect([message, at, ...convergence(ends)]).toEqual([message, at])
        expect(identity(ends)[kind]).not.toBe(before)
      }
  })

  test('the responder waits for a while only, and says that it knows nothing of it any more', () => {
    const ends = up('waits', { config: HYBRID, options: { limits: { halfOpenMs: 2_000 } } })
    const [before, since] = [identity(ends)[kind], ends.network.sent.length]
    const until = ends.network.now + 2_500
    ends.network.impairment = (d) => (d.index >= since + 2 && d.sentAt < until ? [] : [5])
    WISHES[kind](ends)
    ends.network.runFor(4_000)
    expect(ends.b.env.counted('ike.follow-up-missing')).toBe(1)
    expect(ends.b.env.counted('ike.state-not-found')).toBe(1)
    expect(identity(ends)[kind]).toBe(before)
    // It is asked for again, and succeeds.
    ends.network.runFor(40_000)
    expect(convergence(ends)).toEqual([])
    expect(identity(ends)[kind]).not.toBe(before)
  })
})

describe('a peer that has the keys and breaks the rules', () => {
  const { seal } = Sealer.prototype
  afterEach(() => {
    Sealer.prototype.seal = seal
  })
  type Change = (p: PayloadInit) => PayloadInit[]

  /** Changes each payload of one end's messages of an exchange, for as long as the test runs. */
  function insider(exchange: number, response: boolean, change: Change): void {
    Sealer.prototype.seal = function (this: Sealer, header, payloads) {
      const meant = header.exchange === exchange && ((header.flags & FLAG.RESPONSE) !== 0) === response
      return seal.call(this, header, meant ? payloads.flatMap(change) : payloads)
    }
  }
  const ke =
    (how: (body: Uint8Array) => Uint8Array): Change =>
    (p) =>
      p.type === PAYLOAD.KE ? [{ ...p, body: how(Uint8Array.from(p.body)) }] : [p]
  const without =
    (notify: number): Change =>
    (p) =>
      p.type === PAYLOAD.NOTIFY && parseNotify(p.body).type === notify ? [] : [p]
  const other: (body: Uint8Array) => Uint8Array = (body) => body.fill(0xff, 4, 7)

  test.each<[string, number, boolean, Change, string]>([
    ['no link', CREATE_CHILD_SA, true, without(NOTIFY.ADDITIONAL_KEY_EXCHANGE), 'left out ADDITIONAL'],
    ['no encapsulation key', IKE_FOLLOWUP_KE, false, ke(other), 'INVALID_SYNTAX'],
    ['too few octets', IKE_FOLLOWUP_KE, false, ke((b) => b.subarray(0, 900)), 'INVALID_SYNTAX'],
    ['another method', IKE_FOLLOWUP_KE, false, ke((b) => b.fill(31, 1, 2)), 'INVALID_SYNTAX'],
    ['another ciphertext', IKE_FOLLOWUP_KE, true, ke((b) => b.subarray(0, 900)), 'octets of ciphertext'],
    ['another answer', IKE_FOLLOWUP_KE, true, ke((b) => b.fill(31, 1, 2)), 'x25519 where mlkem768'],
    ['no answer', IKE_FOLLOWUP_KE, true, (p) => (p.type === PAYLOAD.KE ? [] : [p]), 'no KE payload'],
  ])('%s: the cause is told, and the next renewal succeeds', (_, exchange, response, change, cause) => {
    for (const kind of KINDS) {
      const ends = up('insider', { config: HYBRID })
      const before = identity(ends)
      insider(exchange, response, change)
      WISHES[kind](ends)
      ends.network.runFor(1_000)
      expect([kind, ends.a.env.logged(cause)]).toEqual([kind, true])
      // INVALID_SYNTAX ends the IKE SA; and what the peer has moved to with its last answer is no use to us, nor what it has left.
      const isLost =
        cause === 'INVALID_SYNTAX' || (kind === 'the IKE SA' && exchange === IKE_FOLLOWUP_KE && response)
      const none = { 'the CHILD_SA': undefined, 'the IKE SA': undefined }
      expect(identity(ends)).toEqual(isLost ? none : before)
      for (const e of [ends.a, ends.b]) expect(e.env.counted('ike.internal')).toBe(0)
      Sealer.prototype.seal = seal
      ends.network.runFor(60_000)
      // An SA that one end alone could make is ended with the one before; traffic has another one made.
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(60_000)
      expect([kind, ...convergence(ends)]).toEqual([kind])
      expect(identity(ends)[kind]).not.toBe(before[kind])
    }
  })

  test('a link that it was not given', () => {
    const ends = up('link', { config: HYBRID })
    insider(IKE_FOLLOWUP_KE, false, (p) => {
      if (p.type !== PAYLOAD.NOTIFY) return [p]
      const body = Uint8Array.from(p.body)
      body[body.length - 1]! ^= 1
      return [{ ...p, body }]
    })
    WISHES['the IKE SA'](ends)
    ends.network.runFor(1_000)
    expect(ends.b.env.counted('ike.state-not-found')).toBe(1)
    expect(convergence(ends)).toEqual([])
  })

  test('begins without end and never goes on: one is remembered', () => {
    const ends = up('begins', { config: HYBRID })
    ends.network.impairment = (d) => (d.message[18] === IKE_FOLLOWUP_KE ? [] : [5])
    for (let i = 0; i < 20; i++) {
      renewChild(ends.a, ends.network.now)
      ends.network.runFor(40_000)
    }
    for (const e of [ends.a, ends.b]) expect(e.env.sas.size).toBeLessThanOrEqual(2)
    ends.network.impairment = () => [5]
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
  })
})
