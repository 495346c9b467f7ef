import { afterEach, expect, test } from 'vitest'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import { emitNotify } from '../../../src/wire/ike/v2/notify.js'
import { AUTH_METHOD, NOTIFY, PAYLOAD, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v2/sa.js'
import { replaced, unharmed, without } from '../attacker-v1.js'
import {
  type Change,
  established,
  honest,
  ikeV2,
  insider,
  refused,
  rekey,
  transforms,
} from '../attacker-v2.js'

// A responder that would like to be taken for the peer, or to be given more than it was offered. The initiator is the victim.

afterEach(honest)

const response = (exchange: number) => ({ exchange, response: true, fromResponder: true })

const auth = (change: (b: Uint8Array) => Uint8Array): Change => replaced(PAYLOAD.AUTH, change)
const notify =
  (type: number): Change =>
  (p) => [
    ...p,
    {
      type: PAYLOAD.NOTIFY,
      body: emitNotify({ protocol: 0, spi: new Uint8Array(0), type, data: new Uint8Array(0) }),
    },
  ]

test.each<[string, Change]>([
  ['no identity', without(PAYLOAD.ID_R)],
  ['no AUTH', without(PAYLOAD.AUTH)],
  ['neither', (p) => without(PAYLOAD.ID_R)(without(PAYLOAD.AUTH)(p))],
  ['nothing at all', () => []],
  ['AUTH of zeros', auth((b) => Uint8Array.of(...b.subarray(0, 4), ...new Uint8Array(b.length - 4)))],
  ['an empty AUTH', auth((b) => b.subarray(0, 4))],
  ['a cut AUTH', auth((b) => b.subarray(0, b.length - 1))],
  ['another method', auth((b) => Uint8Array.of(AUTH_METHOD.DIGITAL_SIGNATURE, ...b.subarray(1)))],
  ['the null method', auth((b) => Uint8Array.of(13, ...b.subarray(1)))],
  ['another identity', replaced(PAYLOAD.ID_R, (b) => Uint8Array.of(...b, 0))],
  [
    'EAP instead of AUTH',
    (p) => [...without(PAYLOAD.AUTH)(p), { type: PAYLOAD.EAP, body: Uint8Array.of(3, 1, 0, 4) }],
  ],
  ['EAP success instead of everything', () => [{ type: PAYLOAD.EAP, body: Uint8Array.of(3, 1, 0, 4) }]],
  ['no AUTH and an error', (p) => notify(NOTIFY.NO_PROPOSAL_CHOSEN)(without(PAYLOAD.AUTH)(p))],
])('CVE-2015-4171, CVE-2021-45079: IKE_AUTH answered with %s: no IKE SA', (_, change) => {
  const ends = ikeV2()
  insider(response(EXCHANGE.IKE_AUTH), change)
  refused(ends, ends.a)
  expect(ends.a.established()).toEqual([])
  expect(ends.a.env.counted('ike.established')).toBe(0)
  honest()
  unharmed(ends)
})

/** One selector of IPv4 that is everything. */
const wide = (b: Uint8Array): Uint8Array => {
  const out = b.slice()
  out.fill(0, 12, 16)
  out.fill(0xff, 16, 20)
  return out
}
const BAD: [string, Change][] = [
  ['no TSi', without(PAYLOAD.TS_I)],
  ['no TSr', without(PAYLOAD.TS_R)],
  ['no SA', without(PAYLOAD.SA)],
  ['a wider TSi', replaced(PAYLOAD.TS_I, wide)],
  ['a wider TSr', replaced(PAYLOAD.TS_R, wide)],
  ['no selector in TSr', replaced(PAYLOAD.TS_R, () => new Uint8Array(4))],
  ...[TRANSFORM.ENCR, TRANSFORM.ESN].map((type): [string, Change] => [
    `another transform ${type} than offered`,
    replaced(
      PAYLOAD.SA,
      transforms((t) => (t.type === type ? { ...t, id: t.id + 9 } : t)),
    ),
  ]),
  [
    'no cipher',
    replaced(
      PAYLOAD.SA,
      transforms((t) => (t.type === TRANSFORM.ENCR ? undefined : t)),
    ),
  ],
  ['another protocol', replaced(PAYLOAD.SA, (b) => emitSa(parseSa(b).map((p) => ({ ...p, protocol: 2 }))))],
  [
    'an SPI of eight octets',
    replaced(PAYLOAD.SA, (b) => emitSa(parseSa(b).map((p) => ({ ...p, spi: new Uint8Array(8).fill(7) })))),
  ],
  ['SPI 0', replaced(PAYLOAD.SA, (b) => emitSa(parseSa(b).map((p) => ({ ...p, spi: new Uint8Array(4) }))))],
  [
    'two proposals',
    replaced(PAYLOAD.SA, (b) =>
      emitSa([1, 2].flatMap((number) => parseSa(b).map((p) => ({ ...p, number })))),
    ),
  ],
]

test.each(BAD)('CVE-2009-1958: IKE_AUTH answered with %s: no CHILD_SA', (_, change) => {
  const ends = ikeV2()
  insider(response(EXCHANGE.IKE_AUTH), change)
  refused(ends, ends.a)
  honest()
  unharmed(ends)
})

test.each(BAD)('CVE-2009-1958: a renewal answered with %s: no other CHILD_SA', (_, change) => {
  const ends = established()
  const before = ends.a.env.outbound().map((s) => s.spi)
  insider(response(EXCHANGE.CREATE_CHILD_SA), change)
  rekey(ends)
  expect(
    ends.a.env
      .outbound()
      .map((s) => s.spi)
      .filter((spi) => !before.includes(spi)),
  ).toEqual([])
  expect(ends.a.env.counted('ike.internal')).toBe(0)
  honest()
  unharmed(ends)
})
