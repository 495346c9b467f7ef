import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { Coalescer, coalescerHeaderRoom, SEGMENTS_MAX } from '../../../src/dataplane/coalescing.js'
import { SEGMENT_HEADER_MAX, Segmenter } from '../../../src/dataplane/segmentation.js'
import type { IoVectors } from '../../../src/net/types.js'
import { buildPacket, type PacketShape, packetIsSound } from '../../reference/tcp-packets.js'

interface Written {
  /** virtio_net_hdr of a joined packet. */
  readonly header: Uint8Array | undefined
  readonly packet: Uint8Array
}

interface Settings {
  readonly tcp?: boolean
  readonly udp?: boolean
  /** The device refuses joined packets. */
  readonly refuse?: boolean
}

/** What the coalescer writes for these packets, flushed at the end. */
function coalesce(packets: readonly Uint8Array[], settings: Settings = {}): Written[] {
  const slab = plainSlab(400_000)
  const parts: [number, number][] = []
  const vectors: IoVectors = {
    capacity: SEGMENTS_MAX + 1,
    set: (i, at, length) => {
      parts[i] = [at, length]
    },
  }
  const written: Written[] = []
  const coalescer = new Coalescer(slab, SCRATCH_LEN, vectors, {
    writeOne: (at, length) => written.push({ header: undefined, packet: slab.bytes.slice(at, at + length) }),
    writeMany: (_, count) => {
      const [header, ...rest] = parts.slice(0, count).map(([at, n]) => slab.bytes.slice(at, at + n))
      if (settings.refuse !== true) written.push({ header, packet: Uint8Array.from(Buffer.concat(rest)) })
      return settings.refuse !== true
    },
  })
  coalescer.tcp = settings.tcp ?? true
  coalescer.udp = settings.udp ?? true
  let at = SCRATCH_LEN + coalescerHeaderRoom
  for (const p of packets) {
    slab.bytes.set(p, at)
    coalescer.add(at, p.length)
    at += p.length + 64
  }
  coalescer.flush()
  return written
}

/** Cuts a joined packet again as the kernel would. */
function expand(w: Written): Uint8Array[] {
  if (!w.header) return [w.packet]
  const slab: Slab = plainSlab(70_000)
  const at = SCRATCH_LEN + SEGMENT_HEADER_MAX
  slab.bytes.set(w.packet, at)
  const segmenter = new Segmenter(slab, SCRATCH_LEN)
  const out: Uint8Array[] = []
  if (!segmenter.begin(at, w.packet.length, w.header[4]! | (w.header[5]! << 8)))
    throw new Error('cannot be cut')
  while (segmenter.next()) out.push(slab.bytes.slice(segmenter.at, segmenter.at + segmenter.length))
  return out
}

const base: PacketShape = {
  version: 4,
  protocol: 6,
  sourcePort: 40_000,
  seq: 1000,
  flags: 0x10,
  id: 7,
  dontFragment: true,
  options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
  payload: new Uint8Array(1000).fill(0x61),
}
const train = (n: number, change: (i: number) => Partial<PacketShape> = () => ({})): Uint8Array[] =>
  Array.from({ length: n }, (_, i) => buildPacket({ ...base, seq: 1000 + i * 1000, id: 7 + i, ...change(i) }))

const datagrams: typeof train = (n, change = () => ({})) =>
  train(n, (i) => ({ protocol: 17, payload: new Uint8Array(1000).fill(i), ...change(i) }))

describe.each([4, 6] as const)('IPv%i', (version) => {
  test('consecutive segments become one write that the kernel cuts into the same packets', () => {
    const packets = train(20, () => ({ version }))
    const written = coalesce(packets)
    expect(written.length).toBe(1)
    expect([...written[0]!.header!]).toEqual(
      version === 4 ? [1, 1, 52, 0, 0xe8, 3, 20, 0, 16, 0] : [1, 4, 72, 0, 0xe8, 3, 40, 0, 16, 0],
    )
    expect(expand(written[0]!)).toEqual(packets)
  })
})

describe.each([4, 6] as const)('UDP over IPv%i', (version) => {
  test('datagrams of one length become one write that the kernel cuts into the same ones', () => {
    const packets = datagrams(20, () => ({ version }))
    const written = coalesce(packets)
    expect(written.length).toBe(1)
    expect([...written[0]!.header!]).toEqual(
      version === 4 ? [1, 5, 28, 0, 0xe8, 3, 20, 0, 6, 0] : [1, 5, 48, 0, 0xe8, 3, 40, 0, 6, 0],
    )
    expect(expand(written[0]!)).toEqual(packets)
  })

  test('a shorter one ends the train, a longer one begins the next', () => {
    const sizes = [1000, 1000, 300, 300, 1000, 1000]
    const packets = datagrams(6, (i) => ({ version, payload: new Uint8Array(sizes[i]!).fill(i) }))
    const written = coalesce(packets)
    expect(written.map((w) => w.header !== undefined)).toEqual([true, false, true])
    expect(written.flatMap(expand)).toEqual(packets)
  })

  test('64 at most', () => {
    const packets = datagrams(100, () => ({ version, payload: new Uint8Array(8) }))
    expect(coalesce(packets).map((w) => expand(w).length)).toEqual([64, 36])
  })

  test('without a checksum, or with a length that is not its own: alone, in place', () => {
    const ip = version === 4 ? 20 : 40
    for (const spoil of [
      (p: Uint8Array) => p.fill(0, ip + 6, ip + 8),
      (p: Uint8Array) => p.fill(0, ip + 4, ip + 6),
      (p: Uint8Array) => p.fill(9, ip + 5, ip + 6),
    ]) {
      const packets = datagrams(4, () => ({ version }))
      spoil(packets[2]!)
      const written = coalesce(packets)
      expect(written.map((w) => w.header !== undefined)).toEqual([true, false, false])
      expect(written.flatMap(expand)).toEqual(packets)
    }
  })
})

test.each<[string, (i: number) => Partial<PacketShape>]>([
  ['flow', (i) => ({ sourcePort: 40_000 + i })],
  ['TTL', (i) => ({ ttl: 60 + i })],
  ['an identification that is not the next one', (i) => ({ id: 7 + i * 2, dontFragment: false })],
  ['a fixed identification of packets that may be fragmented', () => ({ id: 7, dontFragment: false })],
  ['DF', (i) => ({ dontFragment: i % 2 === 0 })],
  ['protocol', (i) => ({ protocol: i % 2 === 0 ? 6 : 17 })],
  ['nothing in it', () => ({ payload: new Uint8Array(0) })],
])('datagrams are never joined across: %s', (_, change) => {
  const packets = datagrams(4, change)
  expect(coalesce(packets).map((w) => w.header)).toEqual([undefined, undefined, undefined, undefined])
})

test('identifications that count and such that stay do not mix', () => {
  const ids = [7, 7, 9, 9]
  for (const make of [train, datagrams]) {
    const packets = make(4, (i) => ({ id: ids[i]! }))
    expect(coalesce(packets).map((w) => w.header !== undefined)).toEqual([true, true])
  }
})

test('a fragment never overtakes datagrams of its flow', () => {
  const [first, second, ...others] = datagrams(4)
  const fragment = Uint8Array.from(others[0]!)
  fragment[6] = 0x20
  const ipv6Fragment = Uint8Array.from(buildPacket({ ...base, version: 6, protocol: 17 }))
  ipv6Fragment[6] = 44
  for (const f of [fragment, ipv6Fragment]) {
    const written = coalesce([first!, second!, f, others[1]!])
    expect(written.map((w) => w.header !== undefined)).toEqual([true, false, false])
    expect(written[1]!.packet).toEqual(f)
  }
})

test.each([
  ['TCP', { tcp: false }, train, datagrams],
  ['UDP', { udp: false }, datagrams, train],
] as const)('switched off for %s alone', (_, settings, apart, joined) => {
  expect(coalesce(apart(5), settings).map((w) => w.packet)).toEqual(apart(5))
  expect(coalesce(joined(5), settings).length).toBe(1)
})

test.each([
  ['TCP', train],
  ['UDP', datagrams],
] as const)('refused by the device: the packets of a %s train come as they were', (_, make) => {
  for (const version of [4, 6] as const) {
    const packets = make(5, (i) => ({ version, flags: i === 4 ? 0x18 : 0x10 }))
    const written = coalesce(packets, { refuse: true })
    expect(written.map((w) => w.packet)).toEqual(packets)
  }
})

test.each([6, 17] as const)('protocol %i: a spoilt IPv4 header stays spoilt', (protocol) => {
  const packets = train(4, () => ({ protocol }))
  packets[2]![10] = packets[2]![10]! ^ 8
  const written = coalesce(packets)
  expect(written.map((w) => w.header !== undefined)).toEqual([true, false, false])
  expect(written.flatMap(expand)).toEqual(packets)
})

test('a push ends the train and is kept', () => {
  const packets = train(6, (i) => (i === 2 ? { flags: 0x18 } : {}))
  const written = coalesce(packets)
  expect(written.length).toBe(2)
  expect(written.flatMap(expand)).toEqual(packets)
})

test('a short segment ends the train', () => {
  const packets = train(3, (i) => (i === 1 ? { payload: new Uint8Array(10) } : {}))
  expect(coalesce(packets).map((w) => w.header !== undefined)).toEqual([true, false])
})

test.each<[string, (i: number) => Partial<PacketShape>]>([
  ['flow', (i) => ({ sourcePort: 40_000 + i })],
  ['TTL', (i) => ({ ttl: 60 + i })],
  ['options', (i) => ({ options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, i, 0, 0, 0, 2) })],
  ['acknowledgement', (i) => ({ ack: i })],
  ['a hole in the sequence', (i) => ({ seq: 1000 + i * 2000 })],
  ['an identification that is not the next one', (i) => ({ id: 7 + i * 2, dontFragment: false })],
  ['ECN echo on some', (i) => ({ flags: i % 2 === 0 ? 0x10 : 0x50 })],
  ['FIN', () => ({ flags: 0x11 })],
  ['SYN', () => ({ flags: 0x02 })],
  ['URG', () => ({ flags: 0x30 })],
  ['CWR', () => ({ flags: 0x90 })],
])('never joined across: %s', (_, change) => {
  const packets = train(4, change)
  const written = coalesce(packets)
  expect(written.every((w) => w.header === undefined)).toBe(true)
  expect(written.length).toBe(4)
})

test('a segment with a wrong checksum is passed on alone, untouched', () => {
  const packets = train(3)
  packets[1]![60] = packets[1]![60]! ^ 1
  const written = coalesce(packets)
  expect(written.map((w) => w.packet)).toEqual(packets)
})

test('a fixed identification is fine when fragmenting is forbidden', () => {
  expect(coalesce(train(4, () => ({ id: 9 }))).length).toBe(1)
})

test('any stream comes out in order within each flow, with every packet sound', () => {
  const step = fc.record({
    flow: fc.oneof(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 20 })),
    size: fc.constantFrom(0, 10, 600, 1000, 1000, 1000),
    flags: fc.constantFrom(0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x50),
    gap: fc.constantFrom(0, 0, 0, 0, 5),
    version: fc.constantFrom<4 | 6>(4, 6),
    protocol: fc.constantFrom<6 | 17>(6, 17),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.boolean(), (steps, refuse) => {
      const seq = new Map<string, number>()
      const ids = new Map<string, number>()
      const packets = steps.map((s, i) => {
        const key = `${s.version} ${s.protocol} ${s.flow}`
        const at = (seq.get(key) ?? 0) + s.gap
        seq.set(key, at + s.size)
        const id = (ids.get(key) ?? 65_530) + 1 + s.gap
        ids.set(key, id)
        return buildPacket({
          ...base,
          version: s.version,
          protocol: s.protocol,
          sourcePort: 1000 + s.flow,
          seq: at,
          id,
          flags: s.flags,
          payload: new Uint8Array(s.size).fill(i),
          dontFragment: false,
        })
      })
      const flowOf = (p: Uint8Array): string => {
        const ip = p[0]! >>> 4 === 4 ? 20 : 40
        return `${ip} ${p[ip === 20 ? 9 : 6]} ${p[ip]} ${p[ip + 1]}`
      }
      const perFlow = (list: readonly Uint8Array[]): Map<string, string[]> => {
        const flows = new Map<string, string[]>()
        for (const p of list)
          flows.set(flowOf(p), [...(flows.get(flowOf(p)) ?? []), Buffer.from(p).toString('hex')])
        return flows
      }
      const out = coalesce(packets, { refuse }).flatMap(expand)
      for (const p of out) expect(packetIsSound(p)).toBe(true)
      expect(perFlow(out)).toEqual(perFlow(packets))
    }),
    { numRuns: 60 },
  )
})
