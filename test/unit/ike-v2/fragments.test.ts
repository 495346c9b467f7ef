import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { messageRoom, messageRoomAnywhere, smallestPacket } from '../../../src/ike/fragment-size.js'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { Fragments, openMessage } from '../../../src/ike/v2/fragmentation.js'
import { headOf, makeKeying, sealed } from '../../../src/ike/v2/keying.js'
import type { Outgoing } from '../../../src/ike/v2/outgoing.js'
import { FRAGMENTS_MAX, Reassembly } from '../../../src/ike/v2/reassembly.js'
import { EXCHANGE, IKE_MESSAGE_MAX, parseIkeHeader } from '../../../src/wire/ike/header.js'

const random = (n: number): Uint8Array => new Uint8Array(randomBytes(n))
const piece = (number: number, total: number, plaintext: Uint8Array, first = 0) => ({
  place: { number, total },
  first,
  plaintext,
  message: Uint8Array.of(number, total),
})

describe('reassembly', () => {
  const text = [random(10), random(20), random(1)] as const
  const whole = new Uint8Array(Buffer.concat(text))

  test.each([
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ])('in the order %i, %i, %i', (...order) => {
    const r = new Reassembly()
    const results = order.map((i) => r.add(7, piece(i + 1, 3, text[i]!, i === 0 ? 35 : 0)))
    expect(results.slice(0, 2)).toEqual([undefined, undefined])
    expect(results[2]).toEqual({ first: 35, plaintext: whole, message: Uint8Array.of(1, 3), largest: 2 })
    // It is over: nothing is left of it.
    expect(r.wants(7, { number: 1, total: 3 })).toBe(true)
  })

  test('what is there is not wanted again; more and smaller ones begin anew, fewer are of before', () => {
    const r = new Reassembly()
    r.add(7, piece(2, 2, random(5)))
    expect(r.wants(7, { number: 2, total: 2 })).toBe(false)
    expect(r.wants(7, { number: 1, total: 2 })).toBe(true)
    r.add(7, piece(3, 3, text[2]))
    expect(r.wants(7, { number: 1, total: 2 })).toBe(false)
    r.add(7, piece(2, 3, text[1]))
    expect(r.add(7, piece(1, 3, text[0], 35))?.plaintext).toEqual(whole)
  })

  test('the next message takes the place of one that was never whole', () => {
    const r = new Reassembly()
    r.add(7, piece(1, 2, random(5)))
    expect(r.add(8, piece(2, 2, random(5)))).toBeUndefined()
    expect(r.wants(8, { number: 1, total: 2 })).toBe(true)
  })

  test('neither too many nor too much', () => {
    const r = new Reassembly()
    expect(() => r.wants(7, { number: 1, total: FRAGMENTS_MAX + 1 })).toThrow('above 256')
    for (let i = 1; i <= 4; i++) r.add(7, piece(i, 256, random(4_000)))
    expect(() => r.add(7, piece(5, 256, random(IKE_MESSAGE_MAX - 15_999)))).toThrow('above 16384')
    // All of it is gone.
    expect(r.wants(7, { number: 1, total: 256 })).toBe(true)
  })
})

describe('cutting', () => {
  const x = { spiI: random(8), spiR: random(8), ni: random(32), nr: random(32) }
  const ends = (text: string, above: number, smallest: number) => {
    const seed = random(64)
    const [a, b] = (['initiator', 'responder'] as const).map((role) =>
      makeKeying(role, parseIkeProposal(text), seed, x, random),
    ) as [ReturnType<typeof makeKeying>, ReturnType<typeof makeKeying>]
    a.sealer.cut = { above, smallest }
    b.opener.takesFragments = true
    return { a, b }
  }
  const chain = (octets: number) => [{ type: 43, body: random(octets) }]

  test.each(['aes128-sha512-x25519', 'aes128gcm16-prfsha256-x25519', 'aes128ctr-aesxcbc-x25519'])(
    '%s: every length arrives, in messages of the size that is allowed',
    (text) => {
      const { a, b } = ends(text, 300, 150)
      const take = (o: Outgoing): Uint8Array | undefined => {
        const fragments = new Fragments()
        for (const m of o.datagrams) {
          const header = parseIkeHeader(m)
          expect(header).toMatchObject(headOf('initiator', x.spiI, x.spiR, EXCHANGE.INFORMATIONAL, 3, false))
          if (o.datagrams.length === 1) return openMessage(b.opener, header, m, undefined)?.()[0]?.body
          const joined = fragments.receive(b.opener, header, m, false)
          if (typeof joined === 'object') return openMessage(b.opener, header, m, joined)?.()[0]?.body
          expect(joined).toBe('waiting')
        }
        return undefined
      }
      for (let octets = 150; octets < 700; octets += 7) {
        a.sealer.cut = { above: 300, smallest: 150 }
        const payloads = chain(octets)
        const o = sealed(a, EXCHANGE.INFORMATIONAL, 3, false, payloads)
        expect(take(o)).toEqual(payloads[0]!.body)
        expect(Math.max(...o.datagrams.map((d) => d.length))).toBeLessThanOrEqual(300)
        const again = o.smaller?.()
        if (again === undefined) continue
        expect(again.datagrams.length).toBeGreaterThan(o.datagrams.length)
        expect(Math.max(...again.datagrams.map((d) => d.length))).toBeLessThanOrEqual(150)
        expect(take(again)).toEqual(payloads[0]!.body)
        expect(again.smaller).toBeUndefined()
      }
    },
  )

  test('no IV comes twice, in whichever cut', () => {
    const { a } = ends('aes128gcm16-prfsha256-x25519', 300, 150)
    const o = sealed(a, EXCHANGE.INFORMATIONAL, 3, false, chain(1_000))
    const all = [...o.datagrams, ...o.smaller!().datagrams]
    expect(new Set(all.map((d) => Buffer.from(d.subarray(36, 44)).toString('hex'))).size).toBe(all.length)
  })

  test('sizes are those of IP packets', () => {
    const path = (port: number, remote: Uint8Array) => ({
      local: { address: remote, port },
      remote: { address: remote, port },
    })
    const [v4, v6] = [new Uint8Array(4), new Uint8Array(16)]
    expect(messageRoom(path(500, v4), 1_280)).toBe(1_252)
    expect(messageRoom(path(4_500, v6), 1_280)).toBe(1_228)
    expect(messageRoomAnywhere(v4, 1_280)).toBe(1_248)
    expect([v4, v6].map(smallestPacket)).toEqual([576, 1_280])
  })
})
