import { describe, expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { SEGMENT_HEADER_MAX, Segmenter } from '../../../src/dataplane/segmentation.js'
import { buildPacket, type PacketShape, packetIsSound } from '../../reference/tcp-packets.js'

const SAVED = SCRATCH_LEN
const AT = SAVED + SEGMENT_HEADER_MAX

/** Cuts the packet and returns copies of the segments. */
function cut(packet: Uint8Array, segmentSize: number): Uint8Array[] | undefined {
  const slab = plainSlab(70_000)
  slab.bytes.set(packet, AT)
  const segmenter = new Segmenter(slab, SAVED)
  if (!segmenter.begin(AT, packet.length, segmentSize)) return undefined
  const out: Uint8Array[] = []
  while (segmenter.next()) out.push(slab.bytes.slice(segmenter.at, segmenter.at + segmenter.length))
  return out
}

const payload = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff)
const tcp: PacketShape = {
  version: 4,
  protocol: 6,
  sourcePort: 40_000,
  seq: 0xffff_ff00,
  flags: 0x98,
  id: 0xffff,
  dontFragment: false,
  options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
  payload,
}

describe.each([4, 6] as const)('TCP over IPv%i', (version) => {
  const segments = cut(buildPacket({ ...tcp, version }), 1400)!
  const ip = version === 4 ? 20 : 40

  test('every segment is a sound packet and the payloads join to the original', () => {
    expect(segments.length).toBe(4)
    for (const s of segments) expect(packetIsSound(s)).toBe(true)
    expect(Buffer.concat(segments.map((s) => s.subarray(ip + 32)))).toEqual(Buffer.from(payload))
  })

  test('sequence numbers go on across 2^32, options are repeated', () => {
    const view = (s: Uint8Array): DataView => new DataView(s.buffer)
    expect(segments.map((s) => view(s).getUint32(ip + 4))).toEqual([0xffff_ff00, 0x478, 0x9f0, 0xf68])
    for (const s of segments) expect(s.subarray(ip + 20, ip + 32)).toEqual(tcp.options)
  })

  test('PSH is on the last segment only, CWR on the first only', () => {
    expect(segments.map((s) => s[ip + 13])).toEqual([0x90, 0x10, 0x10, 0x18])
  })
})

test('IPv4 identification grows by one a segment and wraps', () => {
  const ids = cut(buildPacket(tcp), 1400)!.map((s) => (s[4]! << 8) | s[5]!)
  expect(ids).toEqual([0xffff, 0, 1, 2])
})

test.each([4, 6] as const)('UDP over IPv%i: each segment has its own length and checksum', (version) => {
  const segments = cut(buildPacket({ ...tcp, version, protocol: 17 }), 1000)!
  expect(segments.length).toBe(5)
  for (const s of segments) expect(packetIsSound(s)).toBe(true)
})

test('what cannot be cut is refused', () => {
  const packet = buildPacket(tcp)
  const fragment = packet.slice()
  fragment[6] = 0x20
  expect(cut(fragment, 1400)).toBeUndefined()
  expect(cut(packet, 0)).toBeUndefined()
  expect(cut(packet.subarray(0, 30), 1400)).toBeUndefined()
  const icmp = packet.slice()
  icmp[9] = 1
  expect(cut(icmp, 1400)).toBeUndefined()
  const shortHeader = packet.slice()
  shortHeader[32] = 0x40
  expect(cut(shortHeader, 1400)).toBeUndefined()
})
