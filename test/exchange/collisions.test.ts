import { describe, expect, test } from 'vitest'
import { type Collision, type Explored, explore } from './model/collision.js'
import type { WishName } from './model/wishes.js'

// Both ends want something of the same SAs at the same time (RFC 7296 sections 2.8.1, 2.8.2 and 2.25): every order in which
// the two can see it, and each of them again with every single message lost. After each run there is exactly one IKE SA and
// one CHILD_SA at both ends, the same ones, and data has flowed all the time: no packet was lost, and there was always an SA
// to send on, unless one was ended on purpose.

type Wishes = readonly WishName[]

/** With the end first whose numbers are the lower ones. */
const PAIRS: readonly (readonly [WishName, WishName])[] = [
  ['renews the child', 'renews the child'],
  ['renews the child', 'renews the IKE SA'],
  ['renews the child', 'ends the child'],
  ['renews the child', 'ends everything'],
  ['renews the IKE SA', 'renews the IKE SA'],
  ['renews the IKE SA', 'ends the child'],
  ['renews the IKE SA', 'ends everything'],
  ['renews both', 'renews both'],
  ['renews both', 'ends everything'],
  ['ends the child', 'ends the child'],
  ['ends the child', 'ends everything'],
  ['ends everything', 'ends everything'],
]

/** The same exchanges as above, more of them at a time. With every loss as well where there is time: EXCHANGE_TESTS=all. */
const LONG_PAIRS: readonly (readonly [WishName, WishName])[] = [
  ['renews the child', 'renews both'],
  ['renews both', 'renews the child'],
  ['renews the IKE SA', 'renews both'],
  ['renews both', 'renews the IKE SA'],
  ['renews both', 'ends the child'],
]
const ALL = process.env.EXCHANGE_TESTS === 'all'

/** A peer that renews the same SA twice, and what the other end does meanwhile. */
const TWICE: Readonly<Record<1 | 2, readonly Wishes[]>> = {
  1: [['v1: renews the child twice'], ['v1: renews the IKE SA twice']],
  2: [
    [
      'v2: renews the child and keeps the old',
      'v2: renews the child and keeps the old',
      'v2: lets the old go',
    ],
    ['v2: renews the IKE SA twice'],
  ],
}

/** IKE messages from the wishes until nothing is on the way any more, repetitions and what traffic asks for included. */
const MESSAGES_MAX = { 1: 40, 2: 30 } as const
/** Two key exchanges, of which the second has a message in two fragments. */
const HYBRID_MESSAGES_MAX = 40

function expectSound(c: Collision, { orders, messages, wrong }: Explored): void {
  expect([c, ...wrong]).toEqual([c])
  expect(orders).toBeGreaterThan(0)
  expect(messages).toBeLessThanOrEqual(c.hybrid ? HYBRID_MESSAGES_MAX : MESSAGES_MAX[c.version])
}

/** In every order, and then with each message lost that any order has. */
function everyLoss(c: Collision): void {
  expectSound(c, explore(c))
  for (const by of ['a', 'b'] as const)
    for (let number = 0, there = true; there; number++) {
      const lost = { ...c, lost: { by, number } }
      const explored = explore(lost)
      expectSound(lost, explored)
      there = explored.lossHappened
    }
}

describe.each([1, 2] as const)('IKEv%i', (version) => {
  test.each(PAIRS)('A %s, B %s: every order, every single loss', { timeout: 60_000 }, (a, b) => {
    everyLoss({ version, a: [a], b: [b], lower: 'a', inOrder: true })
  })

  test.each(LONG_PAIRS)('A %s, B %s: every order', { timeout: 60_000 }, (a, b) => {
    const c: Collision = { version, a: [a], b: [b], lower: 'a', inOrder: true }
    if (ALL) everyLoss(c)
    else expectSound(c, explore(c))
  })

  test.each([
    ['renews the child', 'renews the child'],
    ['renews the child', 'renews the IKE SA'],
    ['renews the child', 'ends the child'],
    ['renews the IKE SA', 'renews the IKE SA'],
  ] as const)('A %s, B %s: on links that reorder', { timeout: 60_000 }, (a, b) => {
    const c: Collision = { version, a: [a], b: [b], lower: 'a' }
    expectSound(c, explore(c))
  })

  test.each(
    TWICE[version].flatMap((a) =>
      (['nothing', 'renews the child', 'renews the IKE SA', 'ends the child'] as const).map(
        (b) => [a, b] as const,
      ),
    ),
  )('A %s, B %s: every order', { timeout: 60_000 }, (a, b) => {
    const lenient = version === 1 || b !== 'nothing'
    const c: Collision = { version, a, b: b === 'nothing' ? [] : [b], lower: 'a', inOrder: true, lenient }
    if (b === 'nothing') everyLoss(c)
    else expectSound(c, explore(c))
  })
})

/** Nothing is made before the second key exchange, and the exchange with the lowest number stops before it. */
describe('IKEv2, two key exchanges (RFC 9370)', () => {
  const hybrid = { version: 2, lower: 'a', inOrder: true, hybrid: true } as const

  test.each(PAIRS.filter(([a]) => a.startsWith('renews')))(
    'A %s, B %s: every order, every single loss',
    { timeout: 120_000 },
    (a, b) => {
      const c: Collision = { ...hybrid, a: [a], b: [b] }
      if (ALL || (a !== 'renews both' && b !== 'renews both')) everyLoss(c)
      else expectSound(c, explore(c))
    },
  )

  test.each(LONG_PAIRS)('A %s, B %s: every order', { timeout: 120_000 }, (a, b) => {
    const c: Collision = { ...hybrid, a: [a], b: [b] }
    expectSound(c, explore(c))
  })
})
