import { describe, expect, test } from 'vitest'
import { EXCHANGES, type Exchange } from './model/exchanges.js'
import { flow, messagesOf, type Pair, unsettled, violations } from './model/pair.js'
import type { Fate } from './virtual-network.js'

// Every message of every exchange lost, doubled, late and overtaken. Whatever happens to one of them, both ends come to the
// same SAs, exactly one IKE SA and one CHILD_SA a policy, in a bounded number of messages, and no packet is lost meanwhile.

/** One-way delays of the copies that arrive. An undisturbed message takes 5 ms, and is repeated after a second. */
const FAULTS: Readonly<Record<string, Fate>> = {
  lost: [],
  doubled: [5, 5],
  'doubled, the copy behind the answer': [5, 30],
  'doubled, the copy long after the end': [5, 30_000],
  overtaken: [12],
  'late, behind its own repetition': [1_500],
  'late, behind three repetitions': [7_500],
}

/** Nothing is repeated or kept any more. */
const CALM_MS = 115_000

/** What is wrong after the exchange, when the `index`-th of its messages has this fate. */
function disturbed(x: Exchange, fates: ReadonlyMap<number, Fate>): { wrong: string[]; messages: number } {
  const p: Pair = x.setUp()
  const before = messagesOf(p)
  p.network.impairment = (d) => fates.get(d.index - before) ?? [5]
  x.begin(p)
  p.network.runFor(CALM_MS)
  const messages = messagesOf(p) - before
  const wrong = x.gapless ? violations(p, true) : []
  if (p.traffic.b.policies.length === 0) flow(p, p.policies)
  return { wrong: [...wrong, ...unsettled(p, x.policies)], messages }
}

describe.each(EXCHANGES.map((x) => [x.name, x] as const))('%s', (_, x) => {
  test('undisturbed', () => {
    expect(disturbed(x, new Map())).toEqual({ wrong: [], messages: x.messages })
  })

  test.each(Object.entries(FAULTS))('every message %s', (_fault, fate) => {
    let most = 0
    for (let index = 0; index < x.messages; index++) {
      const { wrong, messages } = disturbed(x, new Map([[index, fate]]))
      expect([index, ...wrong]).toEqual([index])
      most = Math.max(most, messages)
    }
    expect(most).toBeLessThanOrEqual(x.messagesMax)
  })

  test('every two neighbours lost', () => {
    for (let index = 0; index < x.messages; index++) {
      const { wrong } = disturbed(
        x,
        new Map([
          [index, []],
          [index + 1, []],
        ]),
      )
      expect([index, ...wrong]).toEqual([index])
    }
  })
})
