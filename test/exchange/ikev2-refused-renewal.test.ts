import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { PAYLOAD, PROTOCOL, TRANSFORM } from '../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../src/wire/ike/v2/sa.js'
import { childConfig, convergence, type IkeEnds, selector, twoIkes } from './ike-ends.js'
import { Insider, type Sealed } from './insider.js'

// An IKE SA whose renewal is refused for good: it is not asked for without end, and another one is there before it ends.

const LIFE = 3_600
let insider: Insider
beforeEach(() => {
  insider = new Insider()
})
afterEach(() => insider.end())

const asksForIkeSa = ({ isRequest, exchange, payloads }: Sealed): boolean =>
  isRequest &&
  exchange === EXCHANGE.CREATE_CHILD_SA &&
  payloads.some((p) => p.type === PAYLOAD.SA && parseSa(p.body)[0]!.protocol === PROTOCOL.IKE)

/** Whatever an end offers for a renewal, the other one has not: DES. */
function refused(m: Sealed): Sealed['payloads'] {
  if (!asksForIkeSa(m)) return m.payloads
  return m.payloads.map((p) => {
    if (p.type !== PAYLOAD.SA) return p
    const proposals = parseSa(p.body).map((x) => ({
      ...x,
      transforms: x.transforms.map((t) => (t.type === TRANSFORM.ENCR ? { ...t, id: 2 } : t)),
    }))
    return { ...p, body: emitSa(proposals) }
  })
}

/** Seconds in which one of the policies had no SA at one of the ends, until `seconds` from now. */
function gaps({ network, a, b }: IkeEnds, policies: readonly number[], seconds: number): number {
  let found = 0
  for (let i = 0; i < seconds; i++) {
    network.runFor(1_000)
    const isOpen = [a, b].some((e) => policies.some((p) => e.env.newestOutbound(p) === undefined))
    if (isOpen) found++
  }
  return found
}

describe.each(['off', 'hardened'] as const)('dynamic_psk: %s', (dynamicPsk) => {
  test.each(['start', 'trap'] as const)(
    '%s: asked for less and less often, and replaced before its end',
    (start) => {
      const lifetime = { hardSeconds: 100_000 }
      const children = [
        childConfig({ start, lifetime }),
        childConfig({ start, lifetime, name: 'other', policy: 2, localTs: [selector('10.99.1.0/24')] }),
      ]
      const ends = twoIkes({ config: { version: 2, dynamicPsk, ikeLifetimeSeconds: LIFE, children } })
      const { network, a, b } = ends
      a.ike.initiate(network.now, 'b')
      network.runFor(5_000)
      expect(convergence(ends, 2)).toEqual([])
      const first = a.established()[0]!.initiatorSpi
      insider.change = refused
      expect(gaps(ends, [1, 2], LIFE + 100)).toBe(0)
      expect(convergence(ends, 2)).toEqual([])
      expect(a.established()[0]!.initiatorSpi).not.toBe(first)
      expect(a.env.counted('ike.rekey-failed')).toBeGreaterThan(2)
      expect(a.env.logged('NO_PROPOSAL_CHOSEN')).toBe(true)
      expect(insider.sealed.filter(asksForIkeSa).length).toBeLessThan(24)
      for (const e of [a, b]) expect(e.env.counted('ike.established')).toBe(2)
    },
  )
})

test('a peer that comes to its senses: the next renewal is in place', () => {
  const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off', ikeLifetimeSeconds: LIFE } })
  const { network, a } = ends
  a.ike.initiate(network.now, 'b')
  network.runFor(1_000)
  insider.change = refused
  network.runUntil(() => a.env.counted('ike.rekey-failed') > 0, LIFE * 1_000)
  insider.change = (m) => m.payloads
  network.runFor(10_000)
  expect(a.env.counted('ike.rekeyed')).toBe(1)
  expect(convergence(ends)).toEqual([])
})
