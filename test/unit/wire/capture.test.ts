import { describe, expect, test } from 'vitest'
import { WireError } from '../../../src/errors.js'
import { type CaptureWriter, PcapngWriter, PcapWriter } from '../../../src/wire/pcap/capture-writer.js'
import { ipOffset, LINK, LINKTYPE } from '../../../src/wire/pcap/link-layer.js'
import { readCapture } from './capture-source.js'

function written(
  make: (sink: (b: Uint8Array) => void) => CaptureWriter,
  fill: (w: CaptureWriter) => void,
): Buffer {
  const pieces: Buffer[] = []
  const writer = make((b) => pieces.push(Buffer.from(b)))
  fill(writer)
  writer.flush()
  return Buffer.concat(pieces)
}

/** Integers in one byte order: 16-bit ones as [n], octets as they are. */
function pack(little: boolean, ...parts: (number | readonly [number] | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((p) => {
      if (p instanceof Uint8Array) return Buffer.from(p)
      const b = Buffer.alloc(typeof p === 'number' ? 4 : 2)
      if (typeof p === 'number') little ? b.writeUInt32LE(p) : b.writeUInt32BE(p)
      else little ? b.writeUInt16LE(p[0]) : b.writeUInt16BE(p[0])
      return b
    }),
  )
}

function block(little: boolean, type: number, body: Uint8Array): Buffer {
  const total = 12 + body.length
  return pack(little, type, total, body, total)
}

const sectionOf = (little: boolean): Buffer =>
  block(little, 0x0a0d0d0a, pack(little, 0x1a2b3c4d, [1], [0], 0xffffffff, 0xffffffff))

const packet = Buffer.from('4500001c00000000400100000a0000010a0000020800000000000000', 'hex')
const hex = packet.toString('hex')

describe('pcap', () => {
  test.each([
    ['little-endian, microseconds', true, 0xa1b2c3d4, 1_700_000_000_000_123_000n],
    ['big-endian, microseconds', false, 0xa1b2c3d4, 1_700_000_000_000_123_000n],
    ['little-endian, nanoseconds', true, 0xa1b23c4d, 1_700_000_000_000_000_123n],
    ['big-endian, nanoseconds', false, 0xa1b23c4d, 1_700_000_000_000_000_123n],
  ])('%s', (_name, little, magic, timeNs) => {
    const header = pack(little, magic, [2], [4], 0, 0, 65_535, LINKTYPE.RAW)
    const record = pack(little, 1_700_000_000, 123, packet.length, 1500, packet)
    const expected = { octets: hex, originalLength: 1500, linkType: LINKTYPE.RAW, interfaceId: 0, timeNs }
    const file = Buffer.concat([header, record, record])
    expect(readCapture(file)).toEqual([expected, expected])
    expect(readCapture(file, 1)).toEqual([expected, expected])
  })

  test('a frame check sequence in the link type is no other link type', () => {
    const header = pack(true, 0xa1b2c3d4, [2], [4], 0, 0, 65_535, (4 << 28) | (1 << 26) | LINKTYPE.ETHERNET)
    const file = Buffer.concat([header, pack(true, 0, 0, packet.length, packet.length, packet)])
    expect(readCapture(file)[0]?.linkType).toBe(LINKTYPE.ETHERNET)
  })

  test('the product reads what it writes', () => {
    const file = written(
      (sink) => new PcapWriter(sink, LINKTYPE.RAW),
      (w) => w.packet(0, 1_700_000_000_123_456_789n, packet, 0, packet.length, 99),
    )
    expect(readCapture(file)).toEqual([
      {
        octets: hex,
        originalLength: 99,
        linkType: LINKTYPE.RAW,
        interfaceId: 0,
        timeNs: 1_700_000_000_123_456_789n,
      },
    ])
  })
})

describe('pcapng', () => {
  const iface = (
    little: boolean,
    linkType: number,
    snap = 0,
    options: Uint8Array = new Uint8Array(0),
  ): Buffer => block(little, 1, pack(little, [linkType], [0], snap, options))
  const enhanced = (
    little: boolean,
    id: number,
    ticks: bigint,
    data: Uint8Array,
    options: Uint8Array = new Uint8Array(0),
  ) =>
    block(
      little,
      6,
      pack(
        little,
        id,
        Number(ticks >> 32n),
        Number(ticks & 0xffffffffn),
        data.length,
        data.length + 1,
        data,
        new Uint8Array(-data.length & 3),
        options,
      ),
    )
  const resolution = (little: boolean, value: number): Buffer =>
    pack(little, [9], [1], Uint8Array.of(value, 0, 0, 0), [0], [0])

  test.each([true, false])('interfaces of several link types and clocks, little-endian: %s', (little) => {
    const offset = pack(little, [9], [1], Uint8Array.of(3, 0, 0, 0), [14], [8])
    const seconds = little ? pack(true, 100, 0) : pack(false, 0, 100)
    const odd = Buffer.from('4500', 'hex')
    const file = Buffer.concat([
      sectionOf(little),
      iface(little, LINKTYPE.ETHERNET),
      iface(little, LINKTYPE.RAW, 0, resolution(little, 9)),
      iface(little, LINKTYPE.LINUX_SLL2, 0, resolution(little, 0x80 | 10)),
      iface(little, LINKTYPE.RAW, 0, Buffer.concat([offset, seconds, pack(little, [0], [0])])),
      block(little, 0x0bad, Buffer.alloc(4096)),
      enhanced(little, 0, 5n, packet),
      enhanced(little, 1, 0x1_0000_0002n, packet, pack(little, [1], [2], Buffer.from('hi\0\0'), [0], [0])),
      enhanced(little, 2, 2048n, odd),
      enhanced(little, 3, 1500n, packet),
    ])
    const common = { octets: hex, originalLength: packet.length + 1 }
    const expected = [
      { ...common, linkType: LINKTYPE.ETHERNET, interfaceId: 0, timeNs: 5000n },
      { ...common, linkType: LINKTYPE.RAW, interfaceId: 1, timeNs: 0x1_0000_0002n },
      {
        octets: '4500',
        originalLength: 3,
        linkType: LINKTYPE.LINUX_SLL2,
        interfaceId: 2,
        timeNs: 2_000_000_000n,
      },
      { ...common, linkType: LINKTYPE.RAW, interfaceId: 3, timeNs: 101_500_000_000n },
    ]
    expect(readCapture(file)).toEqual(expected)
    expect(readCapture(file, 3)).toEqual(expected)
  })

  test('a simple packet block ends at the snap length and has no time', () => {
    const simple = block(true, 3, pack(true, 1400, packet))
    const file = Buffer.concat([sectionOf(true), iface(true, LINKTYPE.RAW, packet.length - 4), simple])
    expect(readCapture(file)).toEqual([
      {
        octets: hex.slice(0, -8),
        originalLength: 1400,
        linkType: LINKTYPE.RAW,
        interfaceId: 0,
        timeNs: undefined,
      },
    ])
  })

  test('a second section has its own byte order and interfaces', () => {
    const part = (little: boolean, linkType: number) =>
      Buffer.concat([sectionOf(little), iface(little, linkType), enhanced(little, 0, 1n, packet)])
    const file = Buffer.concat([part(true, LINKTYPE.RAW), part(false, LINKTYPE.NULL)])
    expect(readCapture(file).map((p) => p.linkType)).toEqual([LINKTYPE.RAW, LINKTYPE.NULL])
  })

  test('the obsolete packet block is read', () => {
    const old = block(true, 2, pack(true, [0], [7], 0, 9, packet.length, packet.length, packet))
    const file = Buffer.concat([sectionOf(true), iface(true, LINKTYPE.RAW), old])
    expect(readCapture(file)).toMatchObject([{ octets: hex, interfaceId: 0, timeNs: 9000n }])
  })

  test('the product reads what it writes', () => {
    const file = written(
      (sink) =>
        new PcapngWriter(sink, [
          { name: 'one', linkType: LINKTYPE.RAW },
          { name: '', linkType: LINKTYPE.ETHERNET },
        ]),
      (w) => {
        for (let n = 1; n < 9; n++) w.packet(n & 1, BigInt(n) << 40n, packet, 0, n, 100 + n)
      },
    )
    expect(readCapture(file)).toEqual(
      Array.from({ length: 8 }, (_, i) => ({
        octets: hex.slice(0, 2 * (i + 1)),
        originalLength: 101 + i,
        linkType: (i + 1) & 1 ? LINKTYPE.ETHERNET : LINKTYPE.RAW,
        interfaceId: (i + 1) & 1,
        timeNs: BigInt(i + 1) << 40n,
      })),
    )
  })

  const header = Buffer.concat([sectionOf(true), iface(true, LINKTYPE.RAW)])
  test.each<[string, Buffer, string, number]>([
    ['nothing', Buffer.alloc(0), 'ends here', 0],
    ['text', Buffer.from('not a capture at all'), 'no capture', 0],
    ['gzip', Buffer.from('1f8b0800000000000003', 'hex'), 'not compressed', 0],
    ['pcap 2.3', pack(true, 0xa1b2c3d4, [2], [3], 0, 0, 0, 1), '2.3', 4],
    ['modified pcap', pack(true, 0xa1b2cd34, [2], [4], 0, 0, 0, 1), 'editcap', 0],
    ['pcap header cut', pack(true, 0xa1b2c3d4, [2], [4]), 'ends here', 0],
    ['record cut', pack(true, 0xa1b2c3d4, [2], [4], 0, 0, 0, 1, 0, 0, 60, 60, packet), 'ends here', 40],
    ['record header cut', pack(true, 0xa1b2c3d4, [2], [4], 0, 0, 0, 1, 0, 0, 60), 'ends here', 24],
    ['absurd record', pack(true, 0xa1b2c3d4, [2], [4], 0, 0, 0, 1, 0, 0, 0x7fffffff, 60), 'damaged', 32],
    ['block of 8', Buffer.concat([header, pack(true, 77, 8, 8)]), 'damaged', 52],
    ['block of 13', Buffer.concat([header, pack(true, 77, 13, 0, 13)]), 'damaged', 52],
    ['lengths differ', Buffer.concat([header, pack(true, 77, 16, 0, 20)]), 'damaged', 60],
    ['block cut', Buffer.concat([header, pack(true, 77, 4000, 0)]), 'ends here', 60],
    ['interface unknown', Buffer.concat([header, enhanced(true, 5, 0n, packet)]), 'number 5', 48],
    ['no interface', Buffer.concat([sectionOf(true), block(true, 3, pack(true, 4, packet))]), 'number 0', 28],
    ['packet too long', Buffer.concat([header, block(true, 6, pack(true, 0, 0, 0, 5, 5))]), 'do not fit', 48],
    ['no byte order', block(true, 0x0a0d0d0a, pack(true, 0x11111111, [1], [0], 0, 0)), 'byte-order', 8],
    ['version 2', block(true, 0x0a0d0d0a, pack(true, 0x1a2b3c4d, [2], [0], 0, 0)), 'pcapng 2', 12],
    ['section too short', block(true, 0x0a0d0d0a, pack(true, 0x1a2b3c4d, [1], [0])), 'too short', 0],
    [
      'option too long',
      Buffer.concat([sectionOf(true), iface(true, 1, 0, pack(true, [2], [200]))]),
      'do not fit',
      44,
    ],
  ])('%s: refused, with its place', (_name, file, why, offset) => {
    try {
      readCapture(file)
    } catch (error) {
      expect(error).toBeInstanceOf(WireError)
      expect((error as WireError).message).toContain(why)
      expect((error as WireError).offset).toBe(offset)
      return
    }
    throw new Error('accepted')
  })
})

describe('link layers', () => {
  const frame = (head: string): Buffer =>
    Buffer.concat([Buffer.from(head.replaceAll(' ', ''), 'hex'), packet])
  const mac = '02000000000a 02000000000b'
  test.each<[string, number, Buffer, number]>([
    ['raw', LINKTYPE.RAW, packet, 0],
    ['raw as others number it', LINKTYPE.RAW_BSD, packet, 0],
    ['Ethernet', LINKTYPE.ETHERNET, frame(`${mac} 0800`), 14],
    ['802.1Q', LINKTYPE.ETHERNET, frame(`${mac} 8100 0005 0800`), 18],
    ['802.1ad and 802.1Q', LINKTYPE.ETHERNET, frame(`${mac} 88a8 0005 8100 0006 86dd`), 22],
    ['Linux cooked', LINKTYPE.LINUX_SLL, frame('0000 0001 0006 02000000000a 0000 0800'), 16],
    ['Linux cooked 2', LINKTYPE.LINUX_SLL2, frame('86dd 0000 00000003 0001 00 06 02000000000a 0000'), 20],
    ['null', LINKTYPE.NULL, frame('02000000'), 4],
    ['loop', LINKTYPE.LOOP, frame('00000002'), 4],
    ['ARP', LINKTYPE.ETHERNET, frame(`${mac} 0806`), LINK.NOT_IP],
    ['802.3 length', LINKTYPE.ETHERNET, frame(`${mac} 0040`), LINK.NOT_IP],
    ['tags without end', LINKTYPE.ETHERNET, frame(`${mac} ${'8100 0001'.repeat(9)} 0800`), LINK.NOT_IP],
    ['raw, but neither 4 nor 6', LINKTYPE.RAW, Buffer.alloc(20, 0xff), LINK.NOT_IP],
    ['Ethernet cut', LINKTYPE.ETHERNET, Buffer.from('0200', 'hex'), LINK.SHORT],
    ['tag cut', LINKTYPE.ETHERNET, Buffer.from('02000000000a02000000000b8100', 'hex'), LINK.SHORT],
    ['cooked cut', LINKTYPE.LINUX_SLL, Buffer.alloc(15), LINK.SHORT],
    ['nothing', LINKTYPE.RAW, Buffer.alloc(0), LINK.SHORT],
    ['USB', 189, packet, LINK.UNKNOWN],
  ])('%s', (_name, linkType, octets, expected) => {
    // Not at the start of its buffer, so that an offset from the wrong place shows.
    const b = Buffer.concat([Buffer.alloc(3, 0x45), octets])
    expect(ipOffset(linkType, b, 3, octets.length)).toBe(expected)
  })
})
