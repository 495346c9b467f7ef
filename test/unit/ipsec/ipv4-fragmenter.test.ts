import fc from 'fast-check'
import { expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { FRAGMENT_HEADER_ROOM, Ipv4Fragmenter } from '../../../src/ipsec/ipv4-fragmenter.js'
import { ipv4ChecksumHolds } from '../../../src/wire/ipv4.js'

const SAVED = 2_000
const AT = 4_000

function packetOf(options: readonly number[], payload: number, fragment = 0): Buffer {
  const padded = [...options, ...new Array<number>(-options.length & 3).fill(0)]
  const header = 20 + padded.length
  const b = Buffer.alloc(header + payload, 0).fill(0x61, header)
  for (let i = header; i < b.length; i++) b[i] = i * 13
  b[0] = 0x40 | (header / 4)
  b.writeUInt16BE(b.length, 2)
  b.writeUInt16BE(0x1234, 4)
  b.writeUInt16BE(fragment, 6)
  b[8] = 64
  b[9] = 17
  b.set([10, 1, 0, 1, 10, 2, 0, 1], 12)
  b.set(padded, 20)
  return b
}

function cut(packet: Buffer, mtu: number): Buffer[] {
  const slab = plainSlab(80_000)
  slab.bytes.set(packet, AT)
  slab.bytes.fill(0xa5, AT + packet.length, AT + packet.length + 64)
  const fragmenter = new Ipv4Fragmenter(slab, SAVED)
  if (!fragmenter.begin(AT, packet.length, mtu)) return []
  const out: Buffer[] = []
  while (fragmenter.next()) {
    expect(ipv4ChecksumHolds(slab.bytes, fragmenter.at)).toBe(true)
    out.push(Buffer.from(slab.bytes.slice(fragmenter.at, fragmenter.at + fragmenter.length)))
  }
  expect(slab.bytes[AT + packet.length]).toBe(0xa5)
  return out
}

/** What a receiver makes of fragments: payload by offset, and whether more is to come. */
function joined(fragments: readonly Buffer[]): { payload: Buffer; offset: number; more: boolean } {
  let next: number | undefined
  const parts = fragments.map((f) => {
    const header = (f[0]! & 15) * 4
    const word = f.readUInt16BE(6)
    const offset = (word & 0x1fff) * 8
    expect(f.readUInt16BE(2)).toBe(f.length)
    if (next !== undefined) expect(offset).toBe(next)
    next = offset + f.length - header
    return { payload: f.subarray(header), offset, more: (word & 0x2000) !== 0 }
  })
  for (const part of parts.slice(0, -1)) expect(part.more).toBe(true)
  return {
    payload: Buffer.concat(parts.map((p) => p.payload)),
    offset: parts[0]!.offset,
    more: parts.at(-1)!.more,
  }
}

test('fragments fit and hold the packet, whatever its size, options and the MTU are', () => {
  const sizes = fc.integer({ min: 1, max: 9000 })
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 68, max: 1500 }),
      fc.integer({ min: 0, max: 9 }),
      (size, mtu, words) => {
        const packet = packetOf(new Array<number>(words * 4).fill(1), size)
        const fragments = cut(packet, mtu)
        for (const f of fragments) expect(f.length).toBeLessThanOrEqual(mtu)
        const whole = joined(fragments)
        expect(whole).toEqual({ payload: packet.subarray(20 + words * 4), offset: 0, more: false })
        for (const f of fragments) expect(f.readUInt16BE(4)).toBe(0x1234)
      },
    ),
    { numRuns: 200 },
  )
})

test('a fragment is cut on, and says the same of what comes behind it', () => {
  const middle = cut(packetOf([], 800, 0x2000 | 100), 300)
  expect(joined(middle)).toMatchObject({ offset: 800, more: true })
  const last = cut(packetOf([], 801, 100), 300)
  expect(joined(last)).toMatchObject({ offset: 800, more: false })
})

test('only options with the copied flag are in later fragments', () => {
  // Router alert (148, copied), record route (7, not copied).
  const [first, second] = cut(packetOf([148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0], 600), 400)
  expect([...first!.subarray(20, 32)]).toEqual([148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0])
  expect([...second!.subarray(20, 32)]).toEqual([148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0])
})

test('an MTU that has no room for a payload', () => {
  expect(cut(packetOf([], 100), 27)).toEqual([])
  expect(FRAGMENT_HEADER_ROOM).toBe(60)
})

test('a fragment that ends beyond the largest packet is not cut: its offset would wrap to the beginning of another one', () => {
  for (const offset of [0x1fff, 0x1ffe, 0x1f60]) expect(cut(packetOf([], 1_400, offset), 576)).toEqual([])
  expect(cut(packetOf([], 1_400, 0x1f40), 576).length).toBe(3)
})
