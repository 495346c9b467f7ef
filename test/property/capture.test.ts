import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WireError } from '../../src/errors.js'
import { CaptureReader } from '../../src/wire/pcap/capture-reader.js'
import { type CaptureWriter, PcapngWriter, PcapWriter } from '../../src/wire/pcap/capture-writer.js'
import { CAPTURED_MAX } from '../../src/wire/pcap/captured-packet.js'
import { ipOffset, LINKTYPE } from '../../src/wire/pcap/link-layer.js'
import { readCapture, sourceOf } from '../unit/wire/capture-source.js'

const packets = fc.array(
  fc.record({
    interfaceId: fc.nat(2),
    timeNs: fc.bigInt(0n, 0xffff_ffffn * 1_000_000_000n),
    octets: fc.uint8Array({ maxLength: 80 }),
    more: fc.nat(3000),
  }),
  { maxLength: 12 },
)
type Packets = typeof packets extends fc.Arbitrary<infer T> ? T : never

const interfaces = [LINKTYPE.RAW, LINKTYPE.ETHERNET, LINKTYPE.LINUX_SLL2].map((linkType, i) => ({
  name: 'x'.repeat(i),
  linkType,
}))

function write(list: Packets, ng: boolean): Buffer {
  const pieces: Buffer[] = []
  const sink = (b: Uint8Array): void => void pieces.push(Buffer.from(b))
  const writer: CaptureWriter = ng ? new PcapngWriter(sink, interfaces) : new PcapWriter(sink, LINKTYPE.RAW)
  for (const p of list)
    writer.packet(p.interfaceId, p.timeNs, p.octets, 0, p.octets.length, p.octets.length + p.more)
  writer.flush()
  return Buffer.concat(pieces)
}

/** Reads to the end or the first error. Whatever the octets are, a packet lies inside of what was read. */
function readAnything(file: Uint8Array, piece: number): number {
  let n = 0
  try {
    const reader = new CaptureReader(sourceOf(file, piece))
    while (reader.next()) {
      const { bytes, at, length, linkType, offset } = reader.packet
      expect(length).toBeLessThanOrEqual(CAPTURED_MAX)
      expect(at + length).toBeLessThanOrEqual(bytes.length)
      expect(offset).toBeLessThan(file.length)
      const ip = ipOffset(linkType, bytes, at, length)
      expect(ip).toBeLessThanOrEqual(length)
      // Each record has at least twelve octets: no file is read for ever.
      expect(++n).toBeLessThanOrEqual(file.length / 12)
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    expect(error.offset).toBeLessThanOrEqual(file.length)
  }
  return n
}

describe('capture files', () => {
  test('what is written is read, whatever pieces the file comes in', () => {
    fc.assert(
      fc.property(packets, fc.boolean(), fc.integer({ min: 1, max: 200 }), (list, ng, piece) => {
        expect(readCapture(write(list, ng), piece)).toEqual(
          list.map((p) => ({
            octets: Buffer.from(p.octets).toString('hex'),
            originalLength: p.octets.length + p.more,
            linkType: ng ? interfaces[p.interfaceId]!.linkType : LINKTYPE.RAW,
            interfaceId: ng ? p.interfaceId : 0,
            timeNs: p.timeNs,
          })),
        )
      }),
      { numRuns: 150 },
    )
  })

  test('random octets behind a magic give packets or a WireError', () => {
    const magics = [
      'd4c3b2a1',
      'a1b2c3d4',
      '4d3cb2a1',
      'a1b23c4d',
      '0a0d0d0a1c0000004d3c2b1a',
      '0a0d0d0a0000001c1a2b3c4d',
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...magics),
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 1, max: 64 }),
        (magic, rest, piece) => {
          readAnything(Buffer.concat([Buffer.from(magic, 'hex'), rest]), piece)
        },
      ),
      { numRuns: 600 },
    )
  })

  test('a file cut or changed in one place gives packets or a WireError', () => {
    const change = fc.record({ at: fc.nat(), value: fc.integer({ min: 1, max: 255 }), cut: fc.boolean() })
    fc.assert(
      fc.property(
        packets,
        fc.boolean(),
        change,
        fc.integer({ min: 1, max: 64 }),
        (list, ng, { at, value, cut }, piece) => {
          const file = write(list, ng)
          const place = at % file.length
          file[place] = file[place]! ^ value
          readAnything(cut ? file.subarray(0, place) : file, piece)
        },
      ),
      { numRuns: 600 },
    )
  })

  test('where IP begins is found or refused for any octets of any link type', () => {
    const types = fc.constantFrom(...Object.values(LINKTYPE), 7, 0xffff)
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 60 }), (type, b) => {
        const offset = ipOffset(type, b, 0, b.length)
        expect(offset).toBeGreaterThanOrEqual(-3)
        expect(offset).toBeLessThanOrEqual(b.length)
      }),
    )
  })
})
