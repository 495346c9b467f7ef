import { describe, expect, test } from 'vitest'
import { IpPacket, PORT_IGNORED, PORT_NONE } from '../../../src/wire/ip-packet.js'
import { udpPacket } from '../ipsec/fixtures.js'

const parse = (p: Uint8Array, available = p.length): IpPacket | undefined => {
  const packet = new IpPacket()
  // In the middle of other octets, as in a slab.
  const slab = Buffer.concat([Buffer.alloc(7, 0xff), p, Buffer.alloc(7, 0xff)])
  return packet.parse(slab, 7, available) ? packet : undefined
}

/** An IPv6 packet with these extension headers in front of eight octets of UDP. */
function withExtensions(first: number, ...extensions: Uint8Array[]): Buffer {
  const p = udpPacket('fd00::1', 'fd00::2', 0)
  const all = Buffer.concat([p.subarray(0, 40), ...extensions, p.subarray(40)])
  all[6] = first
  all.writeUInt16BE(all.length - 40, 4)
  return all
}

const HOP = (next: number): Buffer => Buffer.of(next, 0, 5, 2, 0, 0, 1, 0)
const ROUTE = (next: number): Buffer =>
  Buffer.concat([Buffer.of(next, 2, 2, 0, 0, 0, 0, 0), Buffer.alloc(16)])
const FRAG = (next: number, word: number): Buffer => Buffer.of(next, 0, word >>> 8, word & 0xff, 0, 0, 0, 1)

test('IPv4 with options', () => {
  const plain = udpPacket('10.0.0.1', '10.0.0.2', 5, { tos: 0xb8 })
  const p = Buffer.concat([plain.subarray(0, 20), Buffer.of(148, 4, 0, 0), plain.subarray(20)])
  p[0] = 0x46
  p.writeUInt16BE(p.length, 2)
  expect(parse(p)).toMatchObject({
    version: 4,
    length: 37,
    headerLength: 24,
    protocol: 17,
    tos: 0xb8,
    sourceAt: 19,
    destinationAt: 23,
    sourcePort: 1000,
    destinationPort: 2000,
    fragment: false,
  })
})

test('octets behind the packet do not belong to it', () => {
  const p = Buffer.concat([udpPacket('10.0.0.1', '10.0.0.2', 5), Buffer.alloc(9)])
  expect(parse(p)?.length).toBe(33)
})

describe('IPv4 that is refused', () => {
  const p = udpPacket('10.0.0.1', '10.0.0.2', 5)
  const changed = (at: number, value: number): Buffer => {
    const c = Buffer.from(p)
    c[at] = value
    return c
  }
  test.each([
    ['shorter than a header', p.subarray(0, 19)],
    ['cut short', p.subarray(0, 32)],
    ['version 5', changed(0, 0x55)],
    ['version 0', changed(0, 0x05)],
    ['header length 16', changed(0, 0x44)],
    ['header longer than the packet', changed(0, 0x4f)],
    ['total length below the header', changed(3, 19)],
    ['nothing', p.subarray(0, 0)],
  ])('%s', (_, octets) => expect(parse(octets)).toBeUndefined())
})

describe('IPv6', () => {
  test('without extension headers', () => {
    expect(parse(udpPacket('fd00::1', 'fd00::2', 5, { tos: 0x29 }))).toMatchObject({
      version: 6,
      length: 53,
      headerLength: 40,
      protocol: 17,
      tos: 0x29,
      sourceAt: 15,
      destinationAt: 31,
      sourcePort: 1000,
    })
  })

  test('the upper layer is found behind extension headers', () => {
    const p = withExtensions(0, HOP(60), HOP(43), ROUTE(60), HOP(17))
    expect(parse(p)).toMatchObject({ headerLength: 40 + 8 + 8 + 24 + 8, protocol: 17, destinationPort: 2000 })
  })

  test('a first fragment has ports, a later one has none, an atomic one is no fragment', () => {
    expect(parse(withExtensions(44, FRAG(17, 0x0001)))).toMatchObject({
      fragment: true,
      protocol: 17,
      sourcePort: 1000,
    })
    expect(parse(withExtensions(44, FRAG(17, 0x0100)))).toMatchObject({
      fragment: true,
      protocol: 17,
      sourcePort: PORT_NONE,
    })
    expect(parse(withExtensions(44, FRAG(17, 0)))).toMatchObject({ fragment: false, sourcePort: 1000 })
    // What looks like a header behind a later fragment is data.
    expect(parse(withExtensions(44, FRAG(60, 0x0100)))).toMatchObject({ protocol: 60, headerLength: 48 })
  })

  test.each([
    ['shorter than a header', udpPacket('fd00::1', 'fd00::2', 5).subarray(0, 39)],
    ['cut short', udpPacket('fd00::1', 'fd00::2', 5).subarray(0, 52)],
    ['an extension header longer than the packet', withExtensions(0, Buffer.of(17, 9, 0, 0, 0, 0, 0, 0))],
    ['an extension header at the very end', withExtensions(60, HOP(60), HOP(60)).fill(60, 56, 57)],
  ])('refused: %s', (_, octets) => expect(parse(octets)).toBeUndefined())
})

describe('ports', () => {
  const p = (protocol: number, ...upper: number[]): Buffer => {
    const h = Buffer.from(udpPacket('10.0.0.1', '10.0.0.2', 0).subarray(0, 20))
    h[9] = protocol
    h.writeUInt16BE(20 + upper.length, 2)
    return Buffer.concat([h, Buffer.from(upper)])
  }
  test.each([
    ['TCP', p(6, 0, 22, 1, 0), 22, 256],
    ['SCTP', p(132, 0, 1, 0, 2), 1, 2],
    ['ICMP: type and code at the sender', p(1, 8, 3, 0, 0), 0x803, PORT_IGNORED],
    ['Mobility Header: its type', p(135, 59, 1, 5, 0), 0x500, PORT_IGNORED],
    ['GRE has none', p(47, 1, 2, 3, 4), PORT_NONE, PORT_NONE],
    ['TCP cut off before them', p(6, 0, 22, 1), PORT_NONE, PORT_NONE],
  ])('%s', (_, octets, source, destination) =>
    expect(parse(octets)).toMatchObject({ sourcePort: source, destinationPort: destination }),
  )

  test('those of the packet before are forgotten', () => {
    const packet = new IpPacket()
    expect(packet.parse(p(6, 0, 22, 1, 0), 0, 24)).toBe(true)
    expect(packet.parse(p(47, 0, 0, 0, 0), 0, 24)).toBe(true)
    expect(packet.sourcePort).toBe(PORT_NONE)
  })
})
