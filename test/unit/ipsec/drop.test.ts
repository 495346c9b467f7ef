import { describe, expect, test } from 'vitest'
import { ACQUIRE, DROP, DROP_NAMES, type DropName } from '../../../src/ipsec/drop.js'
import { Inbound } from '../../../src/ipsec/inbound.js'
import { createOutboundSa } from '../../../src/ipsec/sa.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { espTwinSeal } from '../../reference/ipsec-twin.js'
import {
  anyV4,
  DST,
  engines,
  get,
  ip,
  type Pair,
  pair,
  put,
  REBUILD,
  SRC,
  saSpec,
  ts,
  udpPacket,
  verdict,
} from './fixtures.js'

// Each cause of the pipelines is produced here; those of the lane (socket, TUN, IKE) have their tests beside the lane.

const OF_THE_LANE: readonly DropName[] = [
  'NO_SA',
  'UNSEGMENTABLE',
  'PENDING_EXPIRED',
  'SEND_FAILED',
  'TUN_REFUSED',
  'IKE_OVERLOAD',
  'TOO_BIG',
  'ICMP_IGNORED',
  'LANE_BUSY',
  // Of the reassembler, which has a test of its own.
  'FRAGMENTS_LOST',
]
const produced = new Set<DropName>()
function expectDrop(n: number, name: DropName): void {
  expect(verdict(n)).toBe(name)
  produced.add(name)
}

const inner = udpPacket('10.1.0.1', '10.2.0.1', 100)
const between = udpPacket('192.0.2.1', '192.0.2.2', 100)

function seal(p: Pair, packet = inner): number {
  put(p.slab, SRC, packet)
  const found = p.outbound.lookup(SRC, packet.length)
  return found < 0 ? found : p.outbound.seal(p.outbound.sa!, SRC, packet.length, DST)
}
const receive = (p: Pair, packet: Uint8Array): number => {
  put(p.slab, DST, packet)
  return p.inbound.openIpv4(DST, packet.length)
}
/** A whole outer packet of the SA, authentic, with any payload and next header. */
function forgeWithKeys(spec: SaSpec, payload: Uint8Array, nextHeader: number, low = 1, tos = 0): Buffer {
  const iv = Buffer.alloc(8, low)
  const esp = espTwinSeal(spec, 0, low, iv, payload, nextHeader)
  const outer = udpPacket('192.0.2.1', '192.0.2.2', 0, { tos }).subarray(0, 20)
  outer[9] = 50
  outer.writeUInt16BE(20 + esp.length, 2)
  return Buffer.concat([outer, esp])
}

test('codes are distinct, small and named', () => {
  const codes = Object.values(DROP)
  expect(new Set(codes).size).toBe(codes.length)
  for (const c of codes) expect(c).toSatisfy((n: number) => n < 0 && n > ACQUIRE)
  expect(DROP_NAMES[-DROP.BAD_ICV]).toBe('bad-icv')
  expect(DROP_NAMES).toHaveLength(codes.length + 1)
  for (const [name, code] of Object.entries(DROP))
    expect(DROP_NAMES[-code]).toBe(name.toLowerCase().replaceAll('_', '-'))
})

describe('outbound', () => {
  test('MALFORMED_INNER', () => {
    const p = pair(saSpec('aes128gcm16'))
    expectDrop(seal(p, inner.subarray(0, 50)), 'MALFORMED_INNER')
    expect(p.outbound.sa).toBeUndefined()
  })

  test('NO_POLICY, and ACQUIRE where there is a policy but no SA', () => {
    const p = pair(saSpec('aes128gcm16'))
    p.sad.delete(p.out.key)
    expect(seal(p)).toBe(ACQUIRE)
    expect(p.outbound.policy).toBe(1)
    p.spd.delete(1)
    expectDrop(seal(p), 'NO_POLICY')
    expect(p.outbound.policy).toBe(-1)
  })

  test('OUTSIDE_SA: the peer narrowed the selectors', () => {
    const p = pair(saSpec('aes128gcm16', { remoteTs: [ts('10.3.0.0/16')] }))
    expectDrop(seal(p), 'OUTSIDE_SA')
    expect(p.out.sequenceLow).toBe(0)
  })

  test('OUTSIDE_SA: transport mode protects packets between its own ends only', () => {
    const p = pair(saSpec('aes128gcm16', { mode: 'transport' }))
    expectDrop(seal(p), 'OUTSIDE_SA')
    expectDrop(seal(p, udpPacket('192.0.2.1', '192.0.2.3', 1)), 'OUTSIDE_SA')
    expectDrop(seal(p, udpPacket('2001:db8::1', '2001:db8::2', 1)), 'OUTSIDE_SA')
    expect(seal(p, between)).toBeGreaterThan(0)
  })

  test('SA_EXPIRED', () => {
    const p = pair(saSpec('aes128gcm16', { lifetime: { hardPackets: 1 } }))
    expect(seal(p)).toBeGreaterThan(0)
    expectDrop(seal(p), 'SA_EXPIRED')
    put(p.slab, SRC, inner)
    expectDrop(p.outbound.sealPayload(p.out, SRC, inner.length, DST), 'SA_EXPIRED')
  })

  test.each(['aes128gcm16', 'ah-sha256'])('SEQUENCE_EXHAUSTED: %s', (suite) => {
    for (const esn of [false, true]) {
      const p = pair(saSpec(suite, { esn }))
      p.out.skipTo(esn ? 0xffff_ffff : 0, 0xffff_fffe)
      expect(seal(p)).toBeGreaterThan(0)
      expectDrop(seal(p), 'SEQUENCE_EXHAUSTED')
      expectDrop(seal(p), 'SA_EXPIRED')
    }
  })

  test('FRAGMENT_IN_TRANSPORT', () => {
    for (const suite of ['aes128gcm16', 'ah-sha256']) {
      const p = pair(saSpec(suite, { mode: 'transport' }))
      const fragment = Buffer.from(between)
      fragment.writeUInt16BE(0x2000, 6)
      expectDrop(seal(p, fragment), 'FRAGMENT_IN_TRANSPORT')
      fragment.writeUInt16BE(0x0010, 6)
      expectDrop(seal(p, fragment), 'FRAGMENT_IN_TRANSPORT')
    }
    const p = pair(saSpec('aes128gcm16', { mode: 'transport' }))
    const fragment = Buffer.from(between)
    fragment.writeUInt16BE(0x2000, 6)
    put(p.slab, SRC, fragment)
    expectDrop(p.outbound.sealPayload(p.out, SRC, fragment.length, DST), 'FRAGMENT_IN_TRANSPORT')
  })

  test('TOO_LONG: at the limit of an IP packet, to the octet', () => {
    for (const [suite, mode, overhead] of [
      ['aes128gcm16', 'tunnel', 20 + 8 + 8 + 2 + 16],
      ['ah-sha256', 'tunnel', 20 + 28],
      ['aes128gcm16', 'transport', 8 + 8 + 2 + 16],
      ['ah-sha256', 'transport', 28],
    ] as const) {
      const p = pair(saSpec(suite, { mode }))
      // The encrypted part ends on a multiple of four: 65535 is not always reached.
      const [a, b] = mode === 'tunnel' ? ['10.1.0.1', '10.2.0.1'] : ['192.0.2.1', '192.0.2.2']
      let fits = 65_535 - overhead
      while (suite === 'aes128gcm16' && (fits + 2 + (mode === 'tunnel' ? 0 : -20)) % 4 !== 0) fits--
      const n = seal(p, udpPacket(a, b, fits - 28))
      expect(n).toBeGreaterThan(65_530)
      expect(n).toBeLessThanOrEqual(65_535)
      expectDrop(seal(p, udpPacket(a, b, fits - 28 + 4)), 'TOO_LONG')
    }
    const p = pair(saSpec('aes128gcm16'))
    const long = udpPacket('10.1.0.1', '10.2.0.1', 65_500)
    put(p.slab, SRC, long)
    expectDrop(p.outbound.sealPayload(p.out, SRC, long.length, DST), 'TOO_LONG')
  })

  test('UNSUPPORTED_HEADER: AH over a source route', () => {
    const p = pair(saSpec('ah-sha256', { mode: 'transport' }))
    const packet = Buffer.concat([
      between.subarray(0, 20),
      Buffer.of(131, 7, 4, 10, 0, 0, 1, 0),
      between.subarray(20),
    ])
    packet[0] = 0x47
    packet.writeUInt16BE(packet.length, 2)
    expectDrop(seal(p, packet), 'UNSUPPORTED_HEADER')
    expect(p.out.sequenceLow).toBe(0)
  })
})

describe('inbound', () => {
  const sealed = (p: Pair, packet = inner): Buffer => get(p.slab, DST, seal(p, packet))

  test('MALFORMED_OUTER', () => {
    const p = pair(saSpec('aes128gcm16'))
    const packet = sealed(p)
    for (const n of [0, 1, 19, 20, packet.length - 1]) {
      put(p.slab, DST, packet)
      expectDrop(p.inbound.openIpv4(DST, n), 'MALFORMED_OUTER')
      expectDrop(p.inbound.openIpv6(DST, n), 'MALFORMED_OUTER')
    }
    for (let n = 0; n < 8; n++) {
      expectDrop(p.inbound.openUdp(DST, n, 0), 'MALFORMED_OUTER')
      expectDrop(p.inbound.openIpv6Payload(DST, n, 50, 0, ip('::1'), 0), 'MALFORMED_OUTER')
    }
    expectDrop(p.inbound.openIpv6Payload(DST, 11, 51, 0, ip('::1'), 0), 'MALFORMED_OUTER')
    const short = Buffer.from(packet.subarray(0, 27))
    short.writeUInt16BE(27, 2)
    expectDrop(receive(p, short), 'MALFORMED_OUTER')
  })

  test('OUTER_FRAGMENT', () => {
    const p = pair(saSpec('aes128gcm16'))
    const packet = sealed(p)
    packet.writeUInt16BE(0x2000, 6)
    expectDrop(receive(p, packet), 'OUTER_FRAGMENT')
    const v6 = pair(saSpec('aes128gcm16', { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }))
    const whole = sealed(v6)
    const fragment = Buffer.concat([
      whole.subarray(0, 40),
      Buffer.of(50, 0, 0, 1, 0, 0, 0, 1),
      whole.subarray(40),
    ])
    fragment[6] = 44
    fragment.writeUInt16BE(fragment.length - 40, 4)
    put(v6.slab, DST, fragment)
    expectDrop(v6.inbound.openIpv6(DST, fragment.length), 'OUTER_FRAGMENT')
  })

  test('NOT_IPSEC', () => {
    const p = pair(saSpec('aes128gcm16'))
    expectDrop(receive(p, inner), 'NOT_IPSEC') // UDP, but not on the port
    expectDrop(receive(p, udpPacket('10.1.0.1', '10.2.0.1', 7, { destinationPort: 4500 })), 'NOT_IPSEC') // no room for ESP
    const ike = udpPacket('10.1.0.1', '10.2.0.1', 60, { destinationPort: 4500 })
    ike.fill(0, 28, 32) // the non-ESP marker
    expectDrop(receive(p, ike), 'NOT_IPSEC')
    const tcp = Buffer.from(inner)
    tcp[9] = 6
    expectDrop(receive(p, tcp), 'NOT_IPSEC')
    expectDrop(p.inbound.openIpv6Payload(DST, 100, 6, 0, ip('::1'), 0), 'NOT_IPSEC')
    const v6 = udpPacket('2001:db8::1', '2001:db8::2', 1)
    put(p.slab, DST, v6)
    expectDrop(p.inbound.openIpv6(DST, v6.length), 'NOT_IPSEC')
  })

  test('UNKNOWN_SPI', () => {
    const p = pair(saSpec('aes128gcm16'))
    const packet = sealed(p)
    packet[23]! ^= 1
    expectDrop(receive(p, packet), 'UNKNOWN_SPI')
    expect(p.inbound.sa).toBeUndefined()
    put(p.slab, DST, packet.subarray(20))
    expectDrop(p.inbound.openUdp(DST, packet.length - 20, 0), 'UNKNOWN_SPI')
    // An SPI of ESP says nothing to AH.
    expectDrop(p.inbound.openIpv6Payload(DST, packet.length - 20, 51, 0, ip('::1'), 0), 'UNKNOWN_SPI')
  })

  test('WRONG_DESTINATION', () => {
    const p = pair(saSpec('aes128gcm16'))
    const packet = sealed(p)
    packet[19] = 77
    expectDrop(receive(p, packet), 'WRONG_DESTINATION')
    expect(p.in.use.cells[5]).toBe(1)
    const ah = pair(saSpec('ah-sha256'))
    const other = sealed(ah)
    put(ah.slab, DST, other.subarray(20))
    expectDrop(ah.inbound.openIpv6Payload(DST, other.length - 20, 51, 0, ip('::1'), 0), 'WRONG_DESTINATION')
  })

  test('SA_EXPIRED', () => {
    const p = pair(saSpec('aes128gcm16', { lifetime: { hardSeconds: 10 } }))
    const packet = sealed(p)
    p.inbound.nowMs = 10_000
    expectDrop(receive(p, packet), 'SA_EXPIRED')
    put(p.slab, DST, packet.subarray(20))
    expectDrop(p.inbound.openUdp(DST, packet.length - 20, 0), 'SA_EXPIRED')
    const ah = pair(saSpec('ah-sha256', { lifetime: { hardSeconds: 10 } }))
    ah.outbound.nowMs = 9_999
    const authenticated = sealed(ah)
    ah.inbound.nowMs = 10_000
    expectDrop(receive(ah, authenticated), 'SA_EXPIRED')
  })

  test.each(['aes128gcm16', 'aes128-sha256', 'ah-sha256'])('REPLAYED and TOO_OLD: %s', (suite) => {
    const p = pair(saSpec(suite, { esn: false }))
    const first = sealed(p)
    const second = sealed(p)
    p.out.skipTo(0, 65)
    const late = sealed(p)
    expect(receive(p, second)).toBeGreaterThan(0)
    expectDrop(receive(p, second), 'REPLAYED')
    expect(receive(p, late)).toBeGreaterThan(0)
    expectDrop(receive(p, first), 'TOO_OLD')
  })

  test('BAD_LENGTH: ESP', () => {
    for (const suite of ['aes128gcm16', 'aes128-sha256', 'null-sha256']) {
      const p = pair(saSpec(suite))
      const packet = sealed(p)
      const shorter = Buffer.from(packet.subarray(0, packet.length - 1))
      shorter.writeUInt16BE(shorter.length, 2)
      expectDrop(receive(p, shorter), 'BAD_LENGTH')
      const empty = Buffer.from(packet.subarray(0, 20 + 8 + p.in.esp!.ivLength + p.in.esp!.icvLength))
      empty.writeUInt16BE(empty.length, 2)
      expectDrop(receive(p, empty), 'BAD_LENGTH')
      expect(receive(p, packet)).toBeGreaterThan(0)
    }
  })

  test('BAD_LENGTH: AH with another ICV length, or none of it there', () => {
    const p = pair(saSpec('ah-sha256'))
    const packet = sealed(p)
    packet[21]! += 1
    expectDrop(receive(p, packet), 'BAD_LENGTH')
    packet[21]! -= 1
    const cut = Buffer.from(packet.subarray(0, 20 + 27))
    cut.writeUInt16BE(cut.length, 2)
    expectDrop(receive(p, cut), 'BAD_LENGTH')
  })

  test('BAD_ICV', () => {
    for (const suite of ['aes128gcm16', 'chacha20poly1305', 'aes128-sha256', 'null-sha256', 'ah-sha256']) {
      const p = pair(saSpec(suite))
      const packet = sealed(p)
      const forged = Buffer.from(packet)
      forged[forged.length - 1]! ^= 0x80
      expectDrop(receive(p, forged), 'BAD_ICV')
      // The forged packet has cost the authentic one nothing.
      expect(receive(p, packet)).toBe(inner.length)
    }
  })

  test('BAD_PADDING', () => {
    const spec = saSpec('aes128gcm16', { esn: false })
    const p = pair(spec)
    const body = Buffer.from('00112233445566778899aabb', 'hex')
    const raw = (padding: number[], low: number): Buffer =>
      sealRaw(spec, Buffer.concat([body, Buffer.from(padding), Buffer.of(padding.length, 4)]), low)
    expectDrop(receive(p, raw([1, 3], 1)), 'BAD_PADDING')
    expectDrop(receive(p, raw([0, 0], 2)), 'BAD_PADDING')
    // Longer than the packet.
    expectDrop(receive(p, sealRaw(spec, Buffer.of(0, 0, 3, 4), 3)), 'BAD_PADDING')
    // Authentic all the same: the number is used up.
    expectDrop(receive(p, raw([1, 3], 1)), 'REPLAYED')
    expect(verdict(receive(p, raw([1, 2], 4)))).toBe('MALFORMED_INNER')
  })

  test('DUMMY: in every mode, and counted as traffic', () => {
    const spec = saSpec('aes128gcm16', { esn: false })
    for (const mode of ['tunnel', 'transport'] as const) {
      const p = pair({ ...spec, mode })
      expectDrop(receive(p, forgeWithKeys(spec, Buffer.alloc(30), 59)), 'DUMMY')
      expect([p.in.use.cells[0], p.in.use.cells[5]]).toEqual([1, 0])
      put(p.slab, DST, espTwinSeal(spec, 0, 2, Buffer.alloc(8), Buffer.alloc(30), 59))
      expectDrop(p.inbound.openUdp(DST, 8 + 8 + 32 + 16, 0), 'DUMMY')
    }
  })

  test('BAD_NEXT_HEADER', () => {
    const spec = saSpec('aes128gcm16', { esn: false })
    expectDrop(receive(pair(spec), forgeWithKeys(spec, inner, 17)), 'BAD_NEXT_HEADER')
    expectDrop(receive(pair(spec), forgeWithKeys(spec, inner, 50)), 'BAD_NEXT_HEADER')
  })

  test('MALFORMED_INNER', () => {
    const spec = saSpec('aes128gcm16', { esn: false })
    expectDrop(receive(pair(spec), forgeWithKeys(spec, inner.subarray(0, 60), 4)), 'MALFORMED_INNER')
    expectDrop(receive(pair(spec), forgeWithKeys(spec, inner, 41)), 'MALFORMED_INNER')
    expectDrop(receive(pair(spec), forgeWithKeys(spec, Buffer.alloc(0), 4)), 'MALFORMED_INNER')
    // Transport mode: an IPv6 packet whose extension headers run over its end.
    const v6 = saSpec('aes128gcm16', {
      esn: false,
      mode: 'transport',
      local: ip('2001:db8::1'),
      remote: ip('2001:db8::2'),
    })
    const p = pair(v6)
    put(p.slab, DST, espTwinSeal(v6, 0, 1, Buffer.alloc(8), Buffer.of(17, 9, 0, 0, 0, 0, 0, 0), 60))
    expectDrop(
      p.inbound.openIpv6Payload(DST, 8 + 8 + 12 + 16, 50, 0, ip('2001:db8::1'), 0),
      'MALFORMED_INNER',
    )
  })

  test('SELECTOR_MISMATCH: each end, and in transport mode', () => {
    const narrow = saSpec('aes128gcm16', {
      esn: false,
      localTs: [ts('10.1.0.0/16', 17)],
      remoteTs: [ts('10.2.0.0/16')],
    })
    const check = (packet: Buffer): number => receive(pair(narrow), forgeWithKeys(narrow, packet, 4))
    expect(check(inner)).toBe(inner.length)
    expectDrop(check(udpPacket('10.9.0.1', '10.2.0.1', 9)), 'SELECTOR_MISMATCH')
    expectDrop(check(udpPacket('10.1.0.1', '10.9.0.1', 9)), 'SELECTOR_MISMATCH')
    const tcp = Buffer.from(inner)
    tcp[9] = 6
    expectDrop(check(tcp), 'SELECTOR_MISMATCH')
    // The right addresses, the wrong way round.
    expectDrop(check(udpPacket('10.2.0.1', '10.1.0.1', 9)), 'SELECTOR_MISMATCH')
    const transport = saSpec('aes128gcm16', {
      esn: false,
      mode: 'transport',
      localTs: [ts('192.0.2.7/32')],
      remoteTs: [anyV4],
    })
    expectDrop(receive(pair(transport), forgeWithKeys(transport, Buffer.alloc(8), 17)), 'SELECTOR_MISMATCH')
  })

  test('ECN_DROP', () => {
    const spec = saSpec('aes128gcm16', { esn: false })
    expectDrop(receive(pair(spec), forgeWithKeys(spec, inner, 4, 1, 3)), 'ECN_DROP')
    const marked = udpPacket('10.1.0.1', '10.2.0.1', 9, { tos: 2 })
    const p = pair(spec)
    expect(receive(p, forgeWithKeys(spec, marked, 4, 1, 3))).toBe(marked.length)
    expect(get(p.slab, p.inbound.at, 2)[1]).toBe(3)
  })
})

test('NO_ROOM: the rebuild area is full, or there is none', () => {
  const udp = { localPort: 4500, remotePort: 4500 }
  for (const length of [0, 50, 1500]) {
    const p = pair(saSpec('aes128gcm16', { mode: 'transport', udp }))
    const inbound = new Inbound(p.slab, p.peerSad, { at: REBUILD, length })
    const open = (): number => {
      put(p.slab, SRC, between)
      const n = p.outbound.sealPayload(p.out, SRC, between.length, DST)
      return inbound.openUdp(DST, n, 0)
    }
    let taken = 0
    for (let n = open(); n >= 0; n = open()) taken++
    expect(taken > 2).toBe(length === 1500)
    expectDrop(open(), 'NO_ROOM')
    inbound.rewind()
    expect(open() > 0).toBe(length === 1500)
  }
})

test('every cause of the pipelines was produced above', () => {
  const all = (Object.keys(DROP) as DropName[]).filter((k) => !OF_THE_LANE.includes(k))
  expect([...produced].sort()).toEqual(all.sort())
})

/** Seals octets that are payload and trailer already. */
function sealRaw(spec: SaSpec, plain: Buffer, low: number): Buffer {
  const { slab } = pair(spec)
  const sa = createOutboundSa(spec, engines, slab, { nowMs: 0 })
  put(slab, SRC, plain)
  slab.view.setUint32(DST, spec.spi)
  slab.view.setUint32(DST + 4, low)
  sa.esp!.seal(DST, SRC, plain.length, 0, low)
  const esp = get(slab, DST, 8 + 8 + plain.length + 16)
  const outer = udpPacket('192.0.2.1', '192.0.2.2', 0).subarray(0, 20)
  outer[9] = 50
  outer.writeUInt16BE(20 + esp.length, 2)
  return Buffer.concat([outer, esp])
}
