import { describe, expect, test } from 'vitest'
import {
  emitPacket,
  PACKET,
  PACKET_MAX,
  PacketSplitter,
  parsePacket,
} from '../../../src/daemon/control/vici-packet.js'
import { WireError } from '../../../src/errors.js'

const octets = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

describe('vici packets', () => {
  test('a request has its length, type, name and message', () => {
    const wire = emitPacket(PACKET.CMD_REQUEST, 'initiate', { child: 'm' })
    expect(wire).toEqual(octets('\x00\x00\x00\x14\x00\x08initiate\x03\x05child\x00\x01m'))
    expect(parsePacket(wire.subarray(4))).toEqual({
      type: PACKET.CMD_REQUEST,
      name: 'initiate',
      message: { child: 'm' },
    })
  })

  test('a response has no name', () => {
    const wire = emitPacket(PACKET.CMD_RESPONSE, '', { success: 'yes' })
    expect(wire).toEqual(octets('\x00\x00\x00\x0f\x01\x03\x07success\x00\x03yes'))
    expect(parsePacket(wire.subarray(4)).message).toEqual({ success: 'yes' })
  })

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['an unknown type', octets('\x08')],
    ['a name cut off', octets('\x00\x08init')],
    ['a name that is not printable', octets('\x00\x03a\nb')],
  ])('refuses %s', (_, wire) => {
    expect(() => parsePacket(wire)).toThrow(WireError)
  })

  test('a stream is cut into packets wherever its pieces end', () => {
    const packets = [
      emitPacket(PACKET.CMD_REQUEST, 'version'),
      emitPacket(PACKET.EVENT_REGISTER, 'list-sa'),
      emitPacket(PACKET.CMD_RESPONSE, '', { a: 'x'.repeat(3000) }),
    ]
    const stream = Buffer.concat(packets)
    for (const size of [1, 3, 7, 100, stream.length]) {
      const splitter = new PacketSplitter()
      const found: Uint8Array[] = []
      for (let at = 0; at < stream.length; at += size)
        for (const packet of splitter.push(stream.subarray(at, at + size)))
          found.push(Uint8Array.from(packet))
      expect(found).toEqual(packets.map((p) => p.subarray(4)))
      expect(splitter.waiting).toBe(false)
    }
  })

  test.each([0, PACKET_MAX + 1, 0xffff_ffff])('a length of %d ends the stream', (length) => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(length)
    expect(() => [...new PacketSplitter().push(head)]).toThrow(WireError)
  })
})
