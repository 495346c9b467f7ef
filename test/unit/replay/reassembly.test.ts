import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DATAGRAMS_MAX, Reassembly } from '../../../src/replay/reassembly.js'
import { ipv4HeaderChecksum, udpPacket } from '../ipsec/fixtures.js'
import { fragments } from './ends.js'

const V4 = udpPacket('192.0.2.1', '192.0.2.2', 3000, { df: false, id: 77 })
const V6 = udpPacket('2001:db8::1', '2001:db8::2', 3000)

/** What comes of the fragments, one by one. */
function add(r: Reassembly, list: readonly Buffer[], timeNs = (_: number): bigint | undefined => undefined) {
  return list.map((f, i) => {
    const whole = r.add(f, 0, f.length, timeNs(i))
    return whole === undefined ? undefined : Buffer.from(whole).toString('hex')
  })
}

describe.each([
  ['IPv4', V4],
  ['IPv6', V6],
])('%s', (_name, packet) => {
  const whole = packet.toString('hex')

  test('in any order, and with repetitions', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 375 }).map((n) => Math.max(n * 8, 16)),
        fc.infiniteStream(fc.nat()),
        (size, random) => {
          const pieces = fragments(packet, size)
          fc.pre(pieces.length > 1 && pieces.length <= 200)
          const shuffled = pieces
            .flatMap((p, i) => (i % 3 === 0 && i > 0 ? [p, p] : [p]))
            .map((p) => [random.next().value as number, p] as const)
            .sort(([a], [b]) => a - b)
            .map(([, p]) => p)
          const results = add(new Reassembly(), shuffled).filter((r) => r !== undefined)
          expect(results).toEqual([whole])
        },
      ),
      { numRuns: 60 },
    )
  })

  test('two datagrams at once', () => {
    const r = new Reassembly()
    const other = Buffer.from(packet)
    other[packet.length - 1] = other[packet.length - 1]! ^ 0xff
    const [a, b] = [fragments(packet, 1480, 1), fragments(other, 1480, 2)]
    const mixed = a.flatMap((p, i) => [p, b[i]!])
    const got = add(r, mixed).filter((x) => x !== undefined)
    expect(got.map((x) => x.slice(-200))).toEqual([whole.slice(-200), other.toString('hex').slice(-200)])
    expect(r.pending).toBe(0)
  })

  test('overlapping fragments come to nothing', () => {
    const [a, b, c] = fragments(packet, 1480) as [Buffer, Buffer, Buffer]
    const [, shifted] = fragments(packet, 1472) as [Buffer, Buffer]
    expect(add(new Reassembly(), [a, shifted, b, c]).every((x) => x === undefined)).toBe(true)
    const forged = Buffer.from(b)
    forged[b.length - 1] = forged[b.length - 1]! ^ 1
    expect(add(new Reassembly(), [a, b, forged, c]).every((x) => x === undefined)).toBe(true)
  })

  test('too late is too late, by the capture’s clock', () => {
    const pieces = fragments(packet, 1480)
    const late = (seconds: number) => (i: number) =>
      i === 0 ? 1000n : 1000n + BigInt(seconds) * 1_000_000_000n
    expect(add(new Reassembly(), pieces, late(29)).at(-1)).toBe(whole)
    expect(add(new Reassembly(), pieces, late(31)).at(-1)).toBeUndefined()
  })

  test('more datagrams than the bound: the oldest makes room', () => {
    const r = new Reassembly()
    const all = Array.from({ length: DATAGRAMS_MAX + 1 }, (_, id) => fragments(packet, 1480, id + 1))
    for (const pieces of all) add(r, pieces.slice(0, 2))
    expect(r.pending).toBe(DATAGRAMS_MAX)
    expect(add(r, all[1]!.slice(2)).at(-1)).toBeDefined()
    expect(add(r, all[0]!.slice(2)).at(-1)).toBeUndefined()
  })

  test('cut fragments and lengths that are no multiple of eight are refused', () => {
    const [a, b, c] = fragments(packet, 1480) as [Buffer, Buffer, Buffer]
    expect(add(new Reassembly(), [a.subarray(0, -1), b, c]).at(-1)).toBeUndefined()
    const odd = Buffer.from(a.subarray(0, -3))
    odd.writeUInt16BE(odd.readUInt16BE(packet === V4 ? 2 : 4) - 3, packet === V4 ? 2 : 4)
    expect(add(new Reassembly(), [odd, b, c]).at(-1)).toBeUndefined()
  })

  test('whatever the octets are, nothing is thrown', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(90), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const pieces = fragments(packet, 1480).map((p) => Buffer.from(p))
        for (const [which, at, value] of changes) pieces[which]![at] = value
        const r = new Reassembly()
        for (const p of pieces) if (p[0]! >>> 4 === 4 || p[0]! >>> 4 === 6) r.add(p, 0, p.length, 0n)
      }),
      { numRuns: 500 },
    )
  })
})

test('the header of the whole is sound', () => {
  const whole = Buffer.from(add(new Reassembly(), fragments(V4, 1480)).at(-1)!, 'hex')
  expect(whole.readUInt16BE(10)).toBe(ipv4HeaderChecksum(whole.subarray(0, 20)))
  expect(whole.readUInt16BE(6)).toBe(0)
})

test('a datagram longer than IP can be comes to nothing', () => {
  const r = new Reassembly()
  const head = fragments(V4, 1480)[0]!
  const giant = Buffer.concat([head.subarray(0, 20), Buffer.alloc(1480)])
  giant.writeUInt16BE(8190, 6) // offset 65520, the last one
  expect(add(r, [head, giant])).toEqual([undefined, undefined])
})
