import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { decapsulatedEcn } from '../../../src/ipsec/ecn.js'
import { outerHeader } from '../../../src/ipsec/outer-header.js'
import { createOutboundSa } from '../../../src/ipsec/sa.js'
import { slowSum } from '../../reference/tcp-packets.js'
import { DST, engines, get, ip, ipv4HeaderChecksum, pair, put, SRC, saSpec, udpPacket } from './fixtures.js'

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
const UDP = { udp: { localPort: 4500, remotePort: 61_000 } }
const slab = plainSlab(4096)
const AT = 1200

describe('IPv4', () => {
  test('every field', () => {
    outerHeader(saSpec('aes128gcm16'), slab, false).write(AT, 100, 0xb9, true, 0xfedc)
    expect(get(slab, AT, 20).toString('hex')).toBe(
      '45b90078fedc400040329a31c0000201c0000202'.replace('9a31', checksumAt()),
    )
    outerHeader(saSpec('ah-sha256'), slab, false).write(AT, 100, 0, false, 1)
    expect(get(slab, AT, 10).toString('hex')).toBe('45000078000100004033')
    expect(get(slab, AT + 10, 2).toString('hex')).toBe(checksumAt())
  })

  test('the checksum is right whatever goes in', () => {
    const h = outerHeader(
      saSpec('aes128gcm16', { local: ip('255.255.255.255'), remote: ip('254.1.2.3') }),
      slab,
      false,
    )
    for (let i = 0; i < 2000; i++) {
      h.write(AT, (i * 7919) % 65_000, (i * 31) & 0xff, (i & 1) === 0, (i * 104_729) & 0xffff)
      expect(slowSum([...get(slab, AT, 20)])).toBe(0xffff)
    }
  })

  test('UDP encapsulation: ports, length, no checksum', () => {
    const h = outerHeader(saSpec('aes128gcm16', UDP), slab, true)
    expect(h.length).toBe(28)
    h.write(AT, 100, 0, true, 1)
    expect(get(slab, AT, 4).toString('hex')).toBe('45000080')
    expect(get(slab, AT + 9, 1)[0]).toBe(17)
    expect(get(slab, AT + 20, 8).toString('hex')).toBe('1194ee48006c0000')
  })

  const checksumAt = (): string =>
    ipv4HeaderChecksum(get(slab, AT, 20))
      .toString(16)
      .padStart(4, '0')
})

describe('IPv6', () => {
  test('every field', () => {
    outerHeader(saSpec('aes128gcm16', V6), slab, false).write(AT, 100, 0xb9, true, 7)
    expect(get(slab, AT, 40).toString('hex')).toBe(
      '6b900000006432402001' + '0db8000000000000000000000001' + '20010db8000000000000000000000002',
    )
  })

  test('UDP encapsulation: zero checksum, or the right one', () => {
    outerHeader(saSpec('aes128gcm16', { ...V6, ...UDP }), slab, false).write(AT, 100, 0, true, 7)
    expect(get(slab, AT + 4, 4).toString('hex')).toBe('006c1140')
    expect(get(slab, AT + 40, 8).toString('hex')).toBe('1194ee48006c0000')
    for (let seed = 0; seed < 50; seed++) {
      for (let i = 0; i < 101; i++) slab.bytes[AT + 48 + i] = (i * seed * 31 + seed) & 0xff
      outerHeader(saSpec('aes128gcm16', { ...V6, ...UDP }), slab, true).write(AT, 101, 0, true, 7)
      const pseudo = [...get(slab, AT + 8, 32), 0, 0, 0, 109, 0, 0, 0, 17]
      expect(slowSum([...pseudo, ...get(slab, AT + 40, 109)])).toBe(0xffff)
    }
  })

  test('an SA can ask for the checksum', () => {
    const sa = createOutboundSa(saSpec('aes128gcm16', { ...V6, ...UDP }), engines, slab, {
      nowMs: 0,
      udp6Checksum: true,
    })
    slab.bytes.fill(1, AT + 48, AT + 148)
    sa.outer.write(AT, 100, 0, true, 1)
    expect(get(slab, AT + 46, 2).readUInt16BE(0)).not.toBe(0)
  })
})

describe('what the outer header takes from the inner one', () => {
  const seal = (p: ReturnType<typeof pair>, packet: Buffer): Buffer => {
    put(p.slab, SRC, packet)
    const n = p.outbound.seal(p.out, SRC, packet.length, DST)
    return get(p.slab, DST, n)
  }
  const v4 = (df: boolean, tos = 0, ttl = 64): Buffer =>
    udpPacket('10.1.0.1', '10.2.0.1', 9, { df, tos, ttl })
  const v6 = udpPacket('fd00::1', 'fd00::2', 9, { tos: 0xb9 })

  test.each([
    ['copy', true, false, true],
    ['set', true, true, true],
    ['clear', false, false, false],
  ] as const)('DF, %s', (df, ofDf, ofNone, ofV6) => {
    for (const suite of ['aes128gcm16', 'ah-sha256']) {
      const p = pair(saSpec(suite), {}, { df })
      const bit = (packet: Buffer): boolean => (seal(p, packet)[6]! & 0x40) !== 0
      expect([bit(v4(true)), bit(v4(false)), bit(v6)]).toEqual([ofDf, ofNone, ofV6])
      // Fragments stay in one piece inside the tunnel: nothing but DF is copied.
      const fragment = v4(false)
      fragment.writeUInt16BE(0x2010, 6)
      expect(seal(p, fragment).readUInt16BE(6) & 0x3fff).toBe(0)
    }
  })

  test('DSCP and ECN, for every value and between families', () => {
    const inV4 = pair(saSpec('aes128gcm16'))
    const inV6 = pair(saSpec('aes128gcm16', V6))
    for (let tos = 0; tos < 256; tos++) {
      expect(seal(inV4, v4(true, tos))[1]).toBe(tos)
      expect((seal(inV6, v4(true, tos)).readUInt16BE(0) >>> 4) & 0xff).toBe(tos)
    }
    expect(seal(inV4, v6)[1]).toBe(0xb9)
  })

  test.each([
    ['off', true, 0x01],
    ['in', true, 0x01],
    ['out', false, 0xb8],
    ['both', true, 0xb9],
    ['off', false, 0x00],
  ] as const)('DSCP %s, ECN %s: as much of 0xb9 as is allowed', (dscp, ecn, expected) => {
    for (const suite of ['aes128gcm16', 'ah-sha256']) {
      const p = pair(saSpec(suite), {}, { dscp, ecn })
      expect(seal(p, v4(true, 0xb9))[1]).toBe(expected)
      expect(seal(p, v6)[1]).toBe(expected)
      expect(p.outbound.tos).toBe(expected)
    }
    const p = pair(saSpec('aes128gcm16'), {}, { dscp, ecn })
    put(p.slab, SRC, v6)
    p.outbound.sealPayload(p.out, SRC, v6.length, DST)
    expect(p.outbound.tos).toBe(expected)
    // In transport mode there is one header, which is the packet's own.
    const own = udpPacket('192.0.2.1', '192.0.2.2', 9, { tos: 0xb9 })
    expect(seal(pair(saSpec('aes128gcm16', { mode: 'transport' }), {}, { dscp, ecn }), own)[1]).toBe(0xb9)
  })

  test('DF over IPv6 is about fragments of the outer packet, not of the inner one', () => {
    for (const [df, expected] of [
      ['copy', true],
      ['set', true],
      ['clear', false],
    ] as const) {
      const p = pair(saSpec('aes128gcm16', V6), {}, { df })
      const piece = (packet: Buffer): boolean => {
        put(p.slab, SRC, packet)
        p.outbound.sealPayload(p.out, SRC, packet.length, DST)
        return p.outbound.df
      }
      p.out.pathMtuIs(1280)
      expect([piece(v4(true)), piece(v4(false)), piece(v6)]).toEqual([expected, expected, expected])
      // What does not fit goes in fragments all the same.
      expect(piece(udpPacket('fd00::1', 'fd00::2', 1232))).toBe(false)
    }
  })

  test('not the TTL', () => {
    expect(seal(pair(saSpec('aes128gcm16')), v4(true, 0, 3))[8]).toBe(64)
  })
})

// RFC 6040 section 4.2, figure 4: rows are the inner field, columns the outer one, both Not-ECT, ECT(1), ECT(0), CE.
test('ECN on the way out of the tunnel', () => {
  const [NOT, ECT1, ECT0, CE, DROPPED] = [0, 1, 2, 3, -1]
  const table: Record<number, Record<number, number>> = {
    [NOT]: { [NOT]: NOT, [ECT0]: NOT, [ECT1]: NOT, [CE]: DROPPED },
    [ECT0]: { [NOT]: ECT0, [ECT0]: ECT0, [ECT1]: ECT1, [CE]: CE },
    [ECT1]: { [NOT]: ECT1, [ECT0]: ECT1, [ECT1]: ECT1, [CE]: CE },
    [CE]: { [NOT]: CE, [ECT0]: CE, [ECT1]: CE, [CE]: CE },
  }
  for (const inner of [NOT, ECT0, ECT1, CE])
    for (const outer of [NOT, ECT0, ECT1, CE]) {
      expect(decapsulatedEcn(inner, outer)).toBe(table[inner]![outer])
      expect(decapsulatedEcn(inner | 0xb8, outer | 0x28)).toBe(table[inner]![outer])
    }
})

test('ECN arrives in the inner packet, with its checksum right, and DSCP stays its own', () => {
  for (const change of [{}, V6]) {
    const p = pair(saSpec('aes128gcm16', change))
    for (const packet of [
      udpPacket('10.1.0.1', '10.2.0.1', 9, { tos: 0xba }),
      udpPacket('fd00::1', 'fd00::2', 9, { tos: 0xba }),
    ]) {
      put(p.slab, SRC, packet)
      const n = p.outbound.seal(p.out, SRC, packet.length, DST)
      const v4Outer = p.out.outer.version === 4
      if (v4Outer) p.slab.bytes[DST + 1] = 0x03
      else p.slab.bytes.set([0x60, 0x30], DST)
      const got = v4Outer ? p.inbound.openIpv4(DST, n) : p.inbound.openIpv6(DST, n)
      const inner = get(p.slab, p.inbound.at, got)
      const v4Inner = inner[0] === 0x45
      expect(v4Inner ? inner[1] : (inner.readUInt16BE(0) >>> 4) & 0xff).toBe(0xbb)
      if (v4Inner) expect(slowSum([...inner.subarray(0, 20)])).toBe(0xffff)
      expect(inner.subarray(v4Inner ? 12 : 2)).toEqual(packet.subarray(v4Inner ? 12 : 2))
    }
  }
})

test.each([
  ['out', true, 0xba, 0x2b, 0xbb],
  ['in', true, 0xba, 0x2b, 0x2b],
  ['both', true, 0xba, 0x2a, 0x2a],
  ['off', true, 0xba, 0x2b, 0xbb],
  ['in', false, 0xba, 0x2b, 0x2a],
  // Marks of congestion that nobody asked for are nothing to a packet whose ends would not see them.
  ['out', false, 0xb8, 0x2b, 0xb8],
] as const)('inwards, DSCP %s, ECN %s', (dscp, ecn, innerTos, outerTos, expected) => {
  for (const suite of ['aes128gcm16', 'ah-sha256'])
    for (const packet of [
      udpPacket('10.1.0.1', '10.2.0.1', 9, { tos: innerTos }),
      udpPacket('fd00::1', 'fd00::2', 9, { tos: innerTos }),
    ]) {
      const p = pair(saSpec(suite), {}, { dscp, ecn })
      put(p.slab, SRC, packet)
      const n = p.outbound.seal(p.out, SRC, packet.length, DST)
      p.slab.bytes[DST + 1] = outerTos
      const inner = get(p.slab, p.inbound.at, p.inbound.openIpv4(DST, n)).length
      expect(inner).toBe(packet.length)
      expect(p.inbound.packet.tos).toBe(expected)
      const found = get(p.slab, p.inbound.at, inner)
      expect(inner && found[0] === 0x45 ? found[1] : (found.readUInt16BE(0) >>> 4) & 0xff).toBe(expected)
      if (found[0] === 0x45) expect(slowSum([...found.subarray(0, 20)])).toBe(0xffff)
    }
})
