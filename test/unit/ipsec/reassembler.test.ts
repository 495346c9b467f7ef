import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { REASSEMBLY_ROOM, Reassembler } from '../../../src/ipsec/reassembler.js'
import { Spd } from '../../../src/ipsec/spd.js'
import { Reassembly } from '../../../src/replay/reassembly.js'
import type { PolicySpec } from '../../../src/sadb/sa-spec.js'
import { IpPacket } from '../../../src/wire/ip-packet.js'
import { anyV4, get, ts, udpPacket } from './fixtures.js'

const BASE = SCRATCH_LEN
const AT = BASE + REASSEMBLY_ROOM
const slab = plainSlab(REASSEMBLY_ROOM + 70_000)

function scene() {
  slab.bytes.fill(0x77, BASE, BASE + 4_096)
  const reassembler = new Reassembler(slab, BASE)
  const p = new IpPacket()
  const add = (fragment: Uint8Array, nowMs = 0): Buffer | number => {
    slab.bytes.set(fragment, AT)
    expect(p.parse(slab.bytes, AT, fragment.length)).toBe(true)
    expect(p.fragment).toBe(true)
    const n = reassembler.add(AT, p, nowMs)
    return n > 0 ? get(slab, reassembler.at, n) : n
  }
  return { reassembler, add }
}

/** IPv4 or IPv6 fragments of a packet with `cuts` in octets of its payload, multiples of eight. */
function split(packet: Buffer, cuts: readonly number[], id = 0x1234): Buffer[] {
  const v6 = packet[0]! >>> 4 === 6
  const header = v6 ? 40 : 20
  const payload = packet.subarray(header)
  const edges = [0, ...cuts, payload.length]
  return edges.slice(0, -1).map((from, i) => {
    const to = edges[i + 1]!
    const more = to < payload.length
    if (!v6) {
      const f = Buffer.concat([packet.subarray(0, 20), payload.subarray(from, to)])
      f.writeUInt16BE(f.length, 2)
      f.writeUInt16BE(id & 0xffff, 4)
      f.writeUInt16BE((from >>> 3) | (more ? 0x2000 : 0), 6)
      return f
    }
    const extension = Buffer.alloc(8)
    extension[0] = packet[6]!
    extension.writeUInt16BE(from | (more ? 1 : 0), 2)
    extension.writeUInt32BE(id, 4)
    const f = Buffer.concat([packet.subarray(0, 40), extension, payload.subarray(from, to)])
    f[6] = 44
    f.writeUInt16BE(f.length - 40, 4)
    return f
  })
}

const v4 = (payload: number): Buffer => udpPacket('10.1.0.1', '10.2.0.1', payload, { df: false })
const v6 = (payload: number): Buffer => udpPacket('fd00::1', 'fd00::2', payload)

describe('fragments become the packet', () => {
  test('in any order, some of them twice, of several packets at once', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: 17, max: 20_000 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        (six, size, eighths, random) => {
          const make = six ? v6 : v4
          const packets = [make(size), make(size + 1)]
          const cuts = eighths
            .map((e) => e * 8)
            .filter((c) => c < size)
            .sort((a, b) => a - b)
          if (cuts.length === 0) return
          const all = packets.flatMap((packet, i) => split(packet, cuts, i + 7))
          const order = all.map((f) => [random.next().value as number, f] as const)
          order.sort((a, b) => a[0] - b[0])
          const { add, reassembler } = scene()
          const twin = new Reassembly()
          const whole: Buffer[] = []
          for (const [n, f] of order) {
            const got = add(f)
            const expected = twin.add(f, 0, f.length, 0n)
            expect(typeof got === 'number' ? undefined : got).toEqual(expected && Buffer.from(expected))
            if (typeof got !== 'number') whole.push(got)
            else if (n % 4 === 0 && got === 0) expect(add(f)).toBe(0)
          }
          expect(whole.map((w) => w.length).sort((a, b) => a - b)).toEqual(packets.map((w) => w.length))
          expect(reassembler.expire(60_000)).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('the largest packet, and none that is larger', () => {
    const largest = v4(65_535 - 28)
    const { add } = scene()
    const pieces = split(
      largest,
      Array.from({ length: 44 }, (_, i) => (i + 1) * 1480),
    )
    const results = pieces.map((f) => add(f))
    expect(results.at(-1)).toBeInstanceOf(Buffer)
    expect((results.at(-1) as Buffer).subarray(20).equals(largest.subarray(20))).toBe(true)
    // The last fragment ends behind 65 535.
    const [first] = split(v4(3000), [1480])
    const beyond = Buffer.from(split(v4(3000), [1480])[1]!)
    beyond.writeUInt16BE(0x1fff, 6)
    expect(add(first!)).toBe(0)
    expect(add(beyond)).toBe(DROP.FRAGMENTS_LOST)
  })
})

describe('what does not become one', () => {
  test.each<[string, (pieces: Buffer[]) => Buffer[]]>([
    [
      'overlapping fragments',
      ([a, b]) => {
        const other = Buffer.from(b!)
        other.writeUInt16BE(((1480 - 8) >>> 3) | 0x2000, 6)
        return [a!, other.subarray(0, 20 + 800)]
      },
    ],
    [
      'two last fragments',
      ([a, b]) => {
        const other = Buffer.from(b!.subarray(0, 1000))
        other.writeUInt16BE(1000, 2)
        other.writeUInt16BE((1480 + 1600) >>> 3, 6)
        return [b!, other, a!]
      },
    ],
  ])('%s spoil their packet', (_, change) => {
    const { add } = scene()
    const pieces = change(split(v4(3000), [1480])).map((f) => {
      f.writeUInt16BE(f.length, 2)
      return f
    })
    expect(pieces.map((f) => add(f))).toContain(DROP.FRAGMENTS_LOST)
    // And all that comes after.
    expect(add(split(v4(3000), [1480])[1]!)).toBe(DROP.FRAGMENTS_LOST)
  })

  test('a fragment in the middle that is no multiple of eight octets', () => {
    const [first] = split(v4(3000), [1480])
    const odd = first!.subarray(0, first!.length - 1)
    odd.writeUInt16BE(odd.length, 2)
    expect(scene().add(odd)).toBe(DROP.FRAGMENTS_LOST)
  })

  test('too many pieces', () => {
    const { add } = scene()
    const pieces = split(
      v4(3000),
      Array.from({ length: 200 }, (_, i) => (i + 1) * 8),
    )
    const results = pieces.map((f) => add(f))
    expect(results.indexOf(DROP.FRAGMENTS_LOST)).toBe(128)
  })

  test('packets that wait too long, and more of them than there is room for', () => {
    const { add, reassembler } = scene()
    const firsts = Array.from({ length: 10 }, (_, i) => split(v4(3000), [1480], i + 1))
    const results = firsts.map(([f], i) => add(f!, i))
    // The two oldest made room.
    expect(results).toEqual([0, 0, 0, 0, 0, 0, 0, 0, DROP.FRAGMENTS_LOST, DROP.FRAGMENTS_LOST])
    expect(add(firsts[2]![1]!, 10)).toBeInstanceOf(Buffer)
    expect(reassembler.expire(5_003)).toBe(1)
    expect(reassembler.expire(6_000)).toBe(6)
    expect(reassembler.expire(9_000)).toBe(0)
  })
})

test('a policy wants whole packets in transport mode, and where ports decide', () => {
  const policy = (change: Partial<PolicySpec>): PolicySpec => ({
    id: 1,
    peer: 'b',
    child: 'c',
    mode: 'tunnel',
    protocol: 'esp',
    localTs: [anyV4],
    remoteTs: [anyV4],
    ...change,
  })
  const port = { ...ts('10.2.0.0/16', 17), startPort: 2000, endPort: 2000 }
  const [first, later] = split(v4(3000), [1480])
  const wants = (policies: readonly PolicySpec[], fragment: Buffer): boolean => {
    const spd = new Spd()
    for (const [id, p] of policies.entries()) spd.add({ ...p, id })
    const p = new IpPacket()
    slab.bytes.set(fragment, AT)
    p.parse(slab.bytes, AT, fragment.length)
    return spd.wantsWhole(slab.view, p)
  }
  for (const f of [first!, later!]) {
    expect(wants([policy({})], f)).toBe(false)
    expect(wants([policy({ mode: 'transport' })], f)).toBe(true)
    expect(wants([policy({ remoteTs: [port] })], f)).toBe(true)
    // The first one that may cover it decides.
    expect(wants([policy({}), policy({ remoteTs: [port] })], f)).toBe(false)
    expect(wants([policy({ remoteTs: [port] }), policy({})], f)).toBe(true)
    expect(wants([policy({ remoteTs: [{ ...port, protocol: 6 }] }), policy({})], f)).toBe(false)
    expect(wants([policy({ remoteTs: [ts('10.9.0.0/16')] })], f)).toBe(false)
  }
})
