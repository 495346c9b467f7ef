import { describe, expect, test } from 'vitest'
import { type Collision, explore } from './model/collision.js'

// Both ends make contact at once, in every order in which they can see it, and with every single message lost: always exactly
// one IKE SA and one CHILD_SA a policy, in a bounded number of messages.

/** Until all is quiet: without a loss, and with one. An exchange that gives way has cost its first messages. */
const MESSAGES_MAX = {
  1: { off: [10, 16], classic: [17, 24], hardened: [17, 24] },
  2: { off: [6, 10], classic: [11, 16], hardened: [11, 16] },
} as const

describe.each([1, 2] as const)('IKEv%i', (version) => {
  test.each([
    ['off', 'a'],
    ['off', 'b'],
    ['classic', 'a'],
    ['hardened', 'b'],
  ] as const)('dynamic_psk: %s; the lower numbers are %s’s', { timeout: 60_000 }, (fresh, lower) => {
    const c: Collision = {
      version,
      fresh,
      a: ['makes contact'],
      b: ['makes contact'],
      lower,
      inOrder: true,
    }
    const [most, mostWithLoss] = MESSAGES_MAX[version][fresh]
    const { orders, messages, wrong } = explore(c)
    expect([c, ...wrong]).toEqual([c])
    expect(orders).toBeGreaterThan(2)
    expect(messages).toBeLessThanOrEqual(most)
    for (const by of ['a', 'b'] as const)
      for (let number = 0, there = true; there; number++) {
        const lost = { ...c, lost: { by, number } }
        const explored = explore(lost)
        expect([lost, ...explored.wrong]).toEqual([lost])
        expect(explored.messages).toBeLessThanOrEqual(mostWithLoss)
        there = explored.lossHappened
      }
  })
})
