import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { narrow } from '../../src/ike/v2/selectors.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { emitDelete, emitNotify } from '../../src/wire/ike/v2/notify.js'
import { PAYLOAD, PROTOCOL } from '../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../src/wire/ike/v2/sa.js'
import { emitSelectors } from '../../src/wire/ike/v2/traffic-selectors.js'
import { convergence, type IkeEnds, selector, twoIkes } from './ike-ends.js'
import { Insider, type Sealed } from './insider.js'

// Messages that are long and valid, from a peer that does as the RFC allows: none of them ends an IKE SA.

let insider: Insider
beforeEach(() => {
  insider = new Insider()
})
afterEach(() => insider.end())

function up(): IkeEnds {
  const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

const many = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
const SELECTORS = many(254, (i) => selector(`172.16.${i}.0/24`))

/** In the request; the answer is about the proposal with number 1, which alone a has made. */
const inRenewal =
  (change: (p: PayloadInit) => PayloadInit[]) =>
  ({ isRequest, exchange, payloads }: Sealed): readonly PayloadInit[] => {
    if (exchange !== EXCHANGE.CREATE_CHILD_SA) return payloads
    if (isRequest) return payloads.flatMap(change)
    const first = (body: Uint8Array) => emitSa(parseSa(body).map((x) => ({ ...x, number: 1 })))
    return payloads.map((p) => (p.type === PAYLOAD.SA ? { ...p, body: first(p.body) } : p))
  }

test.each<[string, (p: PayloadInit) => PayloadInit[]]>([
  [
    '255 traffic selectors, of which one is ours',
    (p) =>
      p.type === PAYLOAD.TS_R
        ? [{ ...p, body: emitSelectors([...SELECTORS, selector('10.88.2.0/24')]) }]
        : [p],
  ],
  [
    '100 proposals, of which the last is ours',
    (p) => {
      if (p.type !== PAYLOAD.SA) return [p]
      const [ours] = parseSa(p.body)
      const foreign = ours!.transforms.map((t) => ({ ...t, id: 999 }))
      const offers = many(100, (i) => ({
        ...ours!,
        number: i + 1,
        transforms: i === 99 ? ours!.transforms : foreign,
      }))
      return [{ ...p, body: emitSa(offers) }]
    },
  ],
  [
    '100 notifies and 60 vendor IDs',
    (p) =>
      p.type === PAYLOAD.NONCE
        ? [
            p,
            ...many(100, (i) => ({
              type: PAYLOAD.NOTIFY,
              body: emitNotify({
                protocol: 0,
                spi: new Uint8Array(0),
                type: 50_000 + i,
                data: new Uint8Array(0),
              }),
            })),
            ...many(60, (i) => ({ type: PAYLOAD.VENDOR, body: Uint8Array.of(i, i, i, i) })),
          ]
        : [p],
  ],
])('a renewal with %s is answered', (_name, change) => {
  const ends = up()
  const { network, a, b } = ends
  const before = a.current()[0]!.inboundSpi
  insider.change = inRenewal(change)
  a.ike.expire(network.now, {
    ...({ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' } as const),
    spi: a.current()[0]!.outboundSpi,
  })
  network.runFor(1_000)
  expect(b.env.counted('ike.malformed-authentic')).toBe(0)
  expect(convergence(ends)).toEqual([])
  expect(a.current()[0]!.inboundSpi).not.toBe(before)
})

test('a Delete of 1000 SPIs', () => {
  const ends = up()
  const { network, a, b } = ends
  const { inboundSpi } = a.current()[0]!
  insider.change = (m) =>
    m.payloads.map((p) =>
      m.isRequest && p.type === PAYLOAD.DELETE
        ? {
            ...p,
            body: emitDelete({
              protocol: PROTOCOL.ESP,
              spis: [...many(999, (i) => 0xf000_0000 + i), inboundSpi],
            }),
          }
        : p,
    )
  a.ike.terminate(network.now, 'b', 'migration')
  network.runFor(1_000)
  for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 1])
})

describe('narrowing', () => {
  test('has no more selectors than a payload, and takes its time from no one', () => {
    const ours = many(16, (i) => selector(`10.${i}.0.0/16`))
    const everything = selector('0.0.0.0/0')
    const asked = many(255, (i) => ({ ...everything, protocol: 6, startPort: i, endPort: 1_000 + i }))
    const before = performance.now()
    const found = narrow(asked, ours)
    expect(performance.now() - before).toBeLessThan(1_000)
    expect(found.length).toBe(255)
  })

  test('leaves out what another one contains, and doubles', () => {
    const ours = [selector('10.0.0.0/8')]
    const asked = [selector('10.1.0.0/16'), selector('10.1.2.0/24'), selector('10.1.0.0/16')]
    expect(narrow(asked, ours)).toEqual([asked[0]])
  })
})
