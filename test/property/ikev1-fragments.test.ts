import fc from 'fast-check'
import { expect, test } from 'vitest'
import { WireError } from '../../src/errors.js'
import { Reassembly } from '../../src/ike/v1/reassembly.js'
import { IKE_MESSAGE_MAX, parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { emitFragments, FRAGMENT_OVERHEAD, parseFragment } from '../../src/wire/ike/v1/fragment.js'

const messageOf = (body: Uint8Array): Uint8Array =>
  emitMessage(
    {
      initiatorSpi: new Uint8Array(8).fill(1),
      responderSpi: new Uint8Array(8).fill(2),
      version: 0x10,
      exchange: 2,
      flags: 1,
      messageId: 7,
    },
    [{ type: 5, body }],
  )
const parse = (message: Uint8Array) => parseFragment(parseIkeHeader(message), message)

test('pieces in any order, some twice, make the message again', () => {
  const bodies = fc.uint8Array({ minLength: 1, maxLength: 3000 })
  fc.assert(
    fc.property(
      bodies,
      fc.integer({ min: 20, max: 900 }),
      fc.infiniteStream(fc.nat()),
      (body, room, dice) => {
        const message = messageOf(body)
        const pieces = emitFragments(message, 3, FRAGMENT_OVERHEAD + room)!
        for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(FRAGMENT_OVERHEAD + room)
        const next = (n: number): number => dice.next().value % n
        const order = pieces
          .flatMap((p) => (next(4) === 0 ? [p, p] : [p]))
          .map((p) => [next(1000), p] as const)
          .sort((a, b) => a[0] - b[0])
        const reassembly = new Reassembly()
        const made = order.map(([, p]) => reassembly.add(0, parse(p))).filter((m) => m !== undefined)
        expect(made[0]).toEqual(message)
      },
    ),
  )
})

test('whatever comes, what is kept stays bounded and nothing is thrown', () => {
  const fragment = fc.record({
    id: fc.integer({ min: 0, max: 2 }),
    number: fc.integer({ min: 1, max: 255 }),
    last: fc.boolean(),
    data: fc.uint8Array({ minLength: 1, maxLength: 1500 }),
  })
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 300 }), (fragments) => {
      const reassembly = new Reassembly()
      for (const f of fragments) {
        const whole = reassembly.add(0, f)
        if (whole !== undefined) expect(whole.length).toBeLessThanOrEqual(IKE_MESSAGE_MAX)
      }
    }),
    { numRuns: 50 },
  )
})

test('a message that is given up does not spoil the next, numbered alike', () => {
  const [first, second] = [messageOf(new Uint8Array(500).fill(1)), messageOf(new Uint8Array(700).fill(2))]
  const [old, fresh] = [emitFragments(first, 1, 200)!, emitFragments(second, 1, 200)!]
  const reassembly = new Reassembly()
  for (const piece of old.slice(0, -1)) expect(reassembly.add(0, parse(piece))).toBeUndefined()
  const twice = [...fresh, ...fresh].map((piece) => reassembly.add(5, parse(piece)))
  expect(twice.filter((m) => m !== undefined)[0]).toEqual(second)
})

test.each([
  ['no data', [0, 0, 0, 8, 0, 1, 1, 1]],
  ['number zero', [0, 0, 0, 9, 0, 1, 0, 1, 7]],
  ['another payload behind it', [13, 0, 0, 9, 0, 1, 1, 1, 7, 0, 0, 0, 4]],
  ['a length beyond the message', [0, 0, 0, 200, 0, 1, 1, 1, 7]],
])('%s is malformed', (_, octets) => {
  const whole = messageOf(new Uint8Array(octets.length - 4))
  whole.set(octets, 28)
  whole[16] = 132
  expect(() => parse(whole)).toThrow(WireError)
})
