import { describe, expect, test } from 'vitest'
import { ahTwinIcv } from '../../reference/ipsec-twin.js'
import {
  DST,
  get,
  ip,
  ipv4HeaderChecksum,
  type Pair,
  pair,
  put,
  SRC,
  saSpec,
  udpPacket,
  verdict,
} from './fixtures.js'

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
const PEER = '2001:db8::1'

function send(p: Pair, packet: Buffer): Buffer {
  put(p.slab, SRC, packet)
  expect(verdict(p.outbound.lookup(SRC, packet.length))).toBe(packet.length)
  const n = p.outbound.seal(p.out, SRC, packet.length, DST)
  if (n < 0) throw new Error(String(verdict(n)))
  return get(p.slab, DST, n)
}

function receive(p: Pair, packet: Buffer): Buffer | string {
  put(p.slab, DST, packet)
  const n =
    packet[0]! >>> 4 === 4 ? p.inbound.openIpv4(DST, packet.length) : p.inbound.openIpv6(DST, packet.length)
  return n < 0 ? String(verdict(n)) : get(p.slab, p.inbound.at, n)
}

function withOptions(...options: number[]): Buffer {
  const plain = udpPacket('192.0.2.1', '192.0.2.2', 30)
  const p = Buffer.concat([plain.subarray(0, 20), Buffer.from(options), plain.subarray(20)])
  p[0] = 0x40 | ((20 + options.length) / 4)
  p.writeUInt16BE(p.length, 2)
  p.writeUInt16BE(ipv4HeaderChecksum(p.subarray(0, 20 + options.length)), 10)
  return p
}

function withExtensions(first: number, ...extensions: Buffer[]): Buffer {
  const p = udpPacket('2001:db8::1', '2001:db8::2', 30)
  const all = Buffer.concat([p.subarray(0, 40), ...extensions, p.subarray(40)])
  all[6] = first
  all.writeUInt16BE(all.length - 40, 4)
  return all
}

describe('the ICV is that of the twin', () => {
  test.each([
    'ah-sha256',
    'ah-sha1',
    'ah-sha384',
    'ah-aesxcbc',
    'ah-aescmac',
    'ah-aes128gmac',
    'ah-aes256gmac',
  ])('%s', (suite) => {
    for (const v6 of [false, true])
      for (const esn of [false, true]) {
        const spec = saSpec(suite, { esn, ...(v6 && V6) })
        const p = pair(spec)
        if (esn) p.out.skipTo(3, 0xffff_ffff)
        const packet = send(p, udpPacket('10.1.0.1', '10.2.0.1', 33))
        const at = v6 ? 40 : 20
        const icv = ahTwinIcv(spec, packet, at, esn ? 4 : 0)
        expect(packet.subarray(at + 12, at + 12 + icv.length)).toEqual(icv)
        expect(((packet[at + 1]! + 2) * 4) % (v6 ? 8 : 4)).toBe(0)
      }
  })
})

describe('mutable fields may change on the way, others may not', () => {
  test('IPv4', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
    const original = udpPacket('192.0.2.1', '192.0.2.2', 30)
    const packet = send(p, original)
    packet[1] = 0xff // TOS
    packet[6]! ^= 0x40 // DF
    packet[8] = 3 // TTL
    packet.writeUInt16BE(0xdead, 10)
    const got = receive(p, packet)
    original[1] = 0xff
    original[6]! ^= 0x40
    original[8] = 3
    original.writeUInt16BE(ipv4HeaderChecksum(original.subarray(0, 20)), 10)
    expect(got).toEqual(original)
  })

  test('IPv6', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    const original = udpPacket('2001:db8::1', '2001:db8::2', 30)
    const packet = send(p, original)
    packet.writeUInt32BE(0x6ff1_2345, 0)
    packet[7] = 1
    original.writeUInt32BE(0x6ff1_2345, 0)
    original[7] = 1
    expect(receive(p, packet)).toEqual(original)
  })
})

describe('IPv4 options', () => {
  test('those that change on the way are left out, others are covered', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
    // Record route (mutable), NOP, router alert (immutable), end.
    const original = withOptions(7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0)
    const packet = send(p, original)
    const routed = Buffer.from(packet)
    routed.set([8, 192, 0, 2, 99], 22)
    const got = receive(p, routed) as Buffer
    expect(got.subarray(20, 32)).toEqual(Buffer.of(7, 7, 8, 192, 0, 2, 99, 1, 148, 4, 0, 0))
    expect(got.subarray(32)).toEqual(original.subarray(32))
    expect(got.readUInt16BE(10)).toBe(ipv4HeaderChecksum(got.subarray(0, 32)))

    const alert = send(p, original)
    alert[31] = 1
    expect(receive(p, alert)).toBe('BAD_ICV')
  })

  test('all that may change, with an option in the last octet', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
    for (const options of [
      [1, 1, 1, 0],
      [68, 4, 5, 0],
      [130, 3, 9, 1],
      [0, 9, 9, 9],
    ]) {
      const original = withOptions(...options)
      expect(receive(p, send(p, original))).toEqual(original)
    }
  })

  test.each([
    ['a loose source route', [131, 7, 4, 10, 0, 0, 1, 0]],
    ['a strict source route', [137, 7, 4, 10, 0, 0, 1, 0]],
    ['an option longer than the header', [7, 9, 4, 0]],
    ['an option of length 1', [7, 1, 1, 1]],
    ['an option without length', [1, 1, 1, 7]],
  ])('refused: %s', (_, options) => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
    expect(() => send(p, withOptions(...options))).toThrow('UNSUPPORTED_HEADER')
    // And a packet that comes so: nothing of it is looked at any more.
    const packet = send(p, withOptions(...options.map(() => 1)))
    packet.set(options, 20)
    expect(receive(p, packet)).toBe('UNSUPPORTED_HEADER')
  })
})

describe('IPv6 extension headers', () => {
  /** Hop-by-hop: PadN, an option that may change (0x3e) and one that may not (0x1e). */
  const hop = (next: number): Buffer => Buffer.of(next, 1, 0x3e, 2, 7, 7, 0x1e, 4, 1, 2, 3, 4, 0, 0, 1, 0)
  const destination = (next: number): Buffer => Buffer.of(next, 0, 0x1e, 4, 9, 9, 9, 9)
  const route = (next: number, left = 0, type = 2): Buffer =>
    Buffer.concat([Buffer.of(next, 2, type, left, 0, 0, 0, 0), Buffer.alloc(16, 5)])

  test('AH stands behind hop-by-hop and routing, in front of the last destination options', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    const original = withExtensions(0, hop(60), destination(43), route(60), destination(17))
    const packet = send(p, original)
    expect(packet[40 + 16 + 8]).toBe(51) // the routing header's next header
    expect(packet[40 + 16 + 8 + 24]).toBe(60) // AH's
    expect(packet.subarray(40 + 16 + 8 + 24 + 32)).toEqual(original.subarray(40 + 16 + 8 + 24))
    expect(receive(p, packet)).toEqual(original)
  })

  test('an option that may change is left out, another is covered', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    const changed = send(p, withExtensions(0, hop(17)))
    changed[44] = 0x55
    expect(receive(p, changed)).toBeInstanceOf(Buffer)
    const forged = send(p, withExtensions(0, hop(17)))
    forged[48]! ^= 1
    expect(receive(p, forged)).toBe('BAD_ICV')
    const type = send(p, withExtensions(0, hop(17)))
    type[42]! ^= 1
    expect(receive(p, type)).toBe('BAD_ICV')
  })

  test.each([
    ['routing type 0', withExtensions(43, route(17, 0, 0))],
    ['a route not used up', withExtensions(43, route(17, 1))],
    ['an option longer than its header', withExtensions(0, Buffer.of(17, 0, 0x1e, 9, 0, 0, 0, 0))],
    ['an option without length', withExtensions(0, Buffer.of(17, 0, 1, 3, 0, 0, 0, 0x1e))],
    [
      'more headers than are taken',
      withExtensions(0, Buffer.concat([Buffer.of(17, 40, 1, 0), Buffer.alloc(324)])),
    ],
  ])('refused: %s', (_, packet) => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    expect(() => send(p, packet)).toThrow('UNSUPPORTED_HEADER')
  })

  test('a fragment header, atomic or not, is not carried in transport mode', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    expect(() => send(p, withExtensions(44, Buffer.of(17, 0, 0, 1, 0, 0, 0, 1)))).toThrow(
      'FRAGMENT_IN_TRANSPORT',
    )
  })

  test('the same placing for ESP', () => {
    const p = pair(saSpec('aes128gcm16', { mode: 'transport', ...V6 }))
    const original = withExtensions(0, hop(43), route(60), destination(17))
    const packet = send(p, original)
    expect(packet[40 + 16]).toBe(50)
    expect(receive(p, packet)).toEqual(original)
  })

  test('a raw IPv6 socket hides them: the ICV does not fit', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
    const packet = send(p, withExtensions(0, hop(17)))
    put(p.slab, DST, packet.subarray(56))
    expect(verdict(p.inbound.openIpv6Payload(DST, packet.length - 56, 51, 0, ip(PEER), 0))).toBe('BAD_ICV')
  })
})

describe('AES-GMAC', () => {
  test('the field begins with the IV, which is the sequence number', () => {
    const p = pair(saSpec('ah-aes128gmac', { mode: 'transport' }))
    p.out.skipTo(4, 0xffff_ffff)
    const packet = send(p, udpPacket('192.0.2.1', '192.0.2.2', 30))
    expect(packet.subarray(20 + 12, 20 + 20).toString('hex')).toBe('0000000500000000')
    expect(packet[21]).toBe((12 + 24) / 4 - 2)
  })

  test('what stands behind the packet is left as it was, sent and received', () => {
    const p = pair(saSpec('ah-aes128gmac', { mode: 'transport' }))
    const original = udpPacket('192.0.2.1', '192.0.2.2', 30)
    p.slab.bytes.fill(0x77, DST, DST + 400)
    const packet = send(p, original)
    expect(get(p.slab, DST + packet.length, 64)).toEqual(Buffer.alloc(64, 0x77))
    expect(receive(p, packet)).toEqual(original)
    expect(get(p.slab, DST + packet.length, 64)).toEqual(Buffer.alloc(64, 0xa5))
  })

  test.each([true, false])('a packet at the very end of the slab: ESN %s', (esn) => {
    const p = pair(saSpec('ah-aes128gmac', { mode: 'transport', esn }))
    const packet = send(p, udpPacket('192.0.2.1', '192.0.2.2', 30))
    const at = p.slab.bytes.length - packet.length
    p.slab.bytes.set(packet, at)
    // The high half of the number has no room there.
    expect(verdict(p.inbound.openIpv4(at, packet.length))).toBe(esn ? 'BAD_ICV' : 58)
    p.slab.bytes.set(packet, at - 4)
    p.in.replay.startAt(0, 0)
    expect(verdict(p.inbound.openIpv4(at - 4, packet.length))).toBe(58)
  })
})

test('from a raw IPv6 socket: the header is made again, traffic class included', () => {
  const p = pair(saSpec('ah-sha256', { mode: 'transport', ...V6 }))
  const original = udpPacket('2001:db8::1', '2001:db8::2', 30, { tos: 0xb9 })
  const packet = send(p, original)
  put(p.slab, DST, packet.subarray(40))
  const source = Buffer.concat([Buffer.alloc(16), ip(PEER)])
  const n = p.inbound.openIpv6Payload(DST, packet.length - 40, 51, 0xb9, source, 16)
  expect(get(p.slab, p.inbound.at, n)).toEqual(original)
  // From another address the same octets are forged.
  const again = send(p, original)
  put(p.slab, DST, again.subarray(40))
  expect(verdict(p.inbound.openIpv6Payload(DST, again.length - 40, 51, 0xb9, ip('2001:db8::3'), 0))).toBe(
    'BAD_ICV',
  )
})

test('an identification of zero is replaced: the kernel would do it, and AH covers the field', () => {
  const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
  const packet = send(p, udpPacket('192.0.2.1', '192.0.2.2', 3, { id: 0 }))
  expect(packet.readUInt16BE(4)).toBe(1)
  expect(packet.readUInt16BE(10)).toBe(ipv4HeaderChecksum(packet.subarray(0, 20)))
  expect(receive(p, packet)).toBeInstanceOf(Buffer)
})

test('identifications go from 65535 to 1', () => {
  const p = pair(saSpec('ah-sha256'), { identification: 65_534 })
  const ids = [1, 2, 3].map(() => send(p, udpPacket('10.1.0.1', '10.2.0.1', 3)).readUInt16BE(4))
  expect(ids).toEqual([65_535, 1, 2])
})
