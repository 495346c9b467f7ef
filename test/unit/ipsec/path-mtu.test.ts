import { describe, expect, test } from 'vitest'
import { DROP } from '../../../src/ipsec/drop.js'
import { innerMtu } from '../../../src/ipsec/overhead.js'
import { mergePaths, PathMtus } from '../../../src/ipsec/path-mtu.js'
import { ip, type Pair, pair, put, saSpec, tooBig, udpPacket } from './fixtures.js'

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
const AT = 40_000
const SRC = 2_000
const DST = 10_000

interface Scene {
  readonly p: Pair
  readonly paths: PathMtus
  readonly sent: Buffer
  report(message: Uint8Array, nowMs?: number): unknown
}

function scene(suite: string, change: Parameters<typeof saSpec>[1] = {}): Scene {
  const p = pair(saSpec(suite, change))
  const paths = new PathMtus(p.slab, p.sad)
  const inner = udpPacket('10.1.0.1', '10.2.0.1', 500, {})
  put(p.slab, SRC, inner)
  const n = p.outbound.seal(p.out, SRC, inner.length, DST)
  const sent = Buffer.from(p.slab.bytes.slice(DST, DST + n))
  return {
    p,
    paths,
    sent,
    report(message, nowMs = 0) {
      put(p.slab, AT, message)
      return sent[0]! >>> 4 === 4
        ? paths.reportedV4(nowMs, AT, message.length)
        : paths.reportedV6(nowMs, AT, message.length)
    },
  }
}

const udp = { localPort: 4500, remotePort: 4500 }

describe('path MTU', () => {
  test.each([
    ['ESP', scene('aes128gcm16')],
    ['ESP in UDP', scene('aes128gcm16', { udp })],
    ['AH', scene('ah-sha256')],
    ['ESP over IPv6', scene('aes128gcm16', V6)],
    ['AH over IPv6', scene('ah-sha256', V6)],
  ])('%s: believed when it quotes what we sent', (_, { p, paths, sent, report }) => {
    const { local, protocol, mode } = p.out.info
    const integrity = protocol === 'ah' ? 12 : 0
    const encryption = protocol === 'ah' ? 0 : 20
    const shape = { protocol, mode, integrity, encryption, udp: p.out.info.udp !== undefined }
    expect(report(tooBig(sent, 1400))).toMatchObject({ mtu: 1400, remote: p.out.info.remote })
    expect(p.out.innerMtu).toBe(innerMtu(1400, { ...shape, addressLength: local.length }))
    // What was on the way already is answered as well; a larger MTU is no news.
    expect(report(tooBig(sent, 1400))).toBe(0)
    expect(report(tooBig(sent, 1450))).toBe(DROP.ICMP_IGNORED)
    expect(report(tooBig(sent, 1300))).toMatchObject({ mtu: 1300 })
    expect(paths.list()).toHaveLength(1)
  })

  test('it ends after ten minutes', () => {
    const { p, paths, sent, report } = scene('aes128gcm16')
    report(tooBig(sent, 1400), 1000)
    expect(paths.expire(600_999)).toBe(false)
    expect(paths.expire(601_000)).toBe(true)
    expect(p.out.innerMtu).toBe(65_535)
  })

  test('the way that the routes tell is the upper bound, before and after', () => {
    const { p, paths, sent, report } = scene('aes128gcm16')
    paths.setWays([{ remote: p.out.info.remote, mtu: 1450 }])
    const before = p.out.innerMtu
    expect(report(tooBig(sent, 1460))).toBe(DROP.ICMP_IGNORED)
    expect(report(tooBig(sent, 1400), 0)).toMatchObject({ mtu: 1400 })
    expect(p.out.innerMtu).toBeLessThan(before)
    paths.expire(700_000)
    expect(p.out.innerMtu).toBe(before)
  })

  const change = (at: number, value?: number) => (packet: Buffer) => {
    const copy = Buffer.from(packet)
    copy[at] = value ?? copy[at]! ^ 1
    return copy
  }
  test.each<[string, (sent: Buffer) => Buffer]>([
    ['another SPI', (sent) => tooBig(change(28 + 3)(sent), 1400)],
    ['another source', (sent) => tooBig(change(15)(sent), 1400)],
    ['another destination', (sent) => tooBig(change(19)(sent), 1400)],
    ['another protocol', (sent) => tooBig(change(9, 50)(sent), 1400)],
    ['another port of the peer', (sent) => tooBig(change(23)(sent), 1400)],
    ['a wrong checksum', (sent) => change(22)(tooBig(sent, 1400))],
    ['no SPI: eight octets behind the IP header', (sent) => tooBig(sent, 1400, 28)],
    ['half an SPI', (sent) => tooBig(sent, 1400, 30)],
    ['half an IP header', (sent) => tooBig(sent, 1400, 10)],
    ['nothing', (sent) => tooBig(sent, 1400, 0)],
    ['an MTU below the floor', (sent) => tooBig(sent, 575)],
    ['an MTU of zero', (sent) => tooBig(sent, 0)],
    ['a message that is cut short', (sent) => tooBig(sent, 1400).subarray(0, 25)],
    [
      'an IP header with a length beyond the message',
      (sent) => change(0, 0x4f)(tooBig(sent, 1400).subarray(0, 50)),
    ],
    ['a quoted header with options beyond it', (sent) => tooBig(change(0, 0x4f)(sent), 1400, 61)],
  ])('not believed: %s', (_, forge) => {
    const { p, paths, sent, report } = scene('aes128gcm16', { udp })
    expect(report(forge(sent))).toBe(DROP.ICMP_IGNORED)
    expect(p.out.innerMtu).toBe(65_535)
    expect(paths.list()).toEqual([])
    expect(report(tooBig(sent, 1400))).toMatchObject({ mtu: 1400 })
  })

  test('ICMP of another kind is not meant for it', () => {
    const { sent, report } = scene('aes128gcm16')
    expect(report(change(21, 3)(tooBig(sent, 1400)))).toBe(0)
    expect(report(change(20, 11)(tooBig(sent, 1400)))).toBe(0)
  })

  test('nor is what quotes a connection that this host has besides', () => {
    for (const suite of ['aes128gcm16', 'ah-sha256'])
      for (const family of [{}, V6]) {
        const { paths, sent, report } = scene(suite, family)
        const tcp = change(sent[0]! >>> 4 === 4 ? 9 : 6, 6)(sent)
        expect(report(tooBig(tcp, 1400))).toBe(0)
        expect(report(tooBig(tcp, 100))).toBe(0)
        expect(paths.list()).toEqual([])
      }
    const { sent, report } = scene('aes128gcm16', { udp })
    expect(report(tooBig(change(21)(sent), 1400))).toBe(0)
  })

  test('what lanes know goes together: the smaller MTU of each path, while it holds', () => {
    const path = (last: number, mtu: number, untilMs: number) => ({
      remote: ip(`192.0.2.${last}`),
      mtu,
      untilMs,
    })
    const mine = [path(1, 1400, 900), path(2, 1300, 900), path(3, 1200, 100)]
    const theirs = [path(1, 1350, 500), path(2, 1350, 999), path(3, 1400, 900), path(4, 1000, 101)]
    const both = mergePaths(100, mine, theirs)
    expect(both.map(({ mtu }) => mtu)).toEqual([1350, 1300, 1400, 1000])
    expect(mergePaths(100, theirs, mine)).toHaveLength(4)
    const many = Array.from({ length: 2000 }, (_, i) => ({
      ...path(0, 1400, 900),
      remote: ip(`10.0.${i >> 8}.${i & 255}`),
    }))
    expect(mergePaths(0, mine, many)).toHaveLength(1024)

    const { p, paths } = scene('aes128gcm16')
    paths.learnt(0, [{ remote: p.out.info.remote, mtu: 1400, untilMs: 900 }])
    const known = p.out.innerMtu
    expect(known).toBeLessThan(1400)
    paths.learnt(0, [path(9, 1000, 900)])
    expect(p.out.innerMtu).toBe(known)
    expect(paths.list()).toHaveLength(2)
  })

  test('IPv6 is not told less than every link carries', () => {
    const { sent, report } = scene('aes128gcm16', V6)
    expect(report(tooBig(sent, 1279))).toBe(DROP.ICMP_IGNORED)
    expect(report(tooBig(sent, 1280))).toMatchObject({ mtu: 1280 })
  })
})

test('TFC padding: packets look as if they had so many octets, and arrive as they were', () => {
  for (const suite of ['aes128gcm16', 'aes128-sha256', 'null-aescmac'])
    for (const [tfc, device, expected] of [
      [1000, 65_535, 1000],
      ['mtu', 1400, 1400],
      [3000, 1400, 1400],
    ] as const) {
      const p = pair(saSpec(suite), {}, { tfc })
      p.out.fits = device
      const sizes = new Set<number>()
      for (const payload of [1, 33, 500, 900]) {
        const packet = udpPacket('10.1.0.1', '10.2.0.1', payload, {})
        put(p.slab, SRC, packet)
        const n = p.outbound.seal(p.out, SRC, packet.length, DST)
        sizes.add(n)
        expect(p.slab.bytes[SRC + packet.length]).toBe(0xa5)
        const inner = p.inbound.openIpv4(DST, n)
        expect(Buffer.from(p.slab.bytes.slice(p.inbound.at, p.inbound.at + inner))).toEqual(packet)
      }
      expect(sizes.size).toBe(1)
      expect([...sizes][0]).toBeGreaterThan(expected)
    }
})

test('an SA whose peer takes no TFC padding has none, whatever its policy says', () => {
  const p = pair({ ...saSpec('aes128gcm16'), tfc: false }, {}, { tfc: 900 })
  p.out.fits = 1400
  const packet = udpPacket('10.1.0.1', '10.2.0.1', 20, {})
  put(p.slab, SRC, packet)
  expect(p.out.tfcPadding(packet.length)).toBe(0)
  expect(p.outbound.seal(p.out, SRC, packet.length, DST)).toBeLessThan(200)
  expect(p.inbound.openIpv4(DST, p.outbound.sealDummy(p.out, 300, DST, true))).toBe(DROP.DUMMY)
})

test('dummy packets look like others and are discarded', () => {
  for (const suite of ['aes128gcm16', 'aes128-sha256']) {
    const p = pair(saSpec(suite), {}, { tfc: 900 })
    p.out.fits = 1400
    const packet = udpPacket('10.1.0.1', '10.2.0.1', 200, {})
    put(p.slab, SRC, packet)
    const real = p.outbound.seal(p.out, SRC, packet.length, DST)
    const dummy = p.outbound.sealDummy(p.out, p.out.tfcPadding(0), DST, true)
    expect(dummy).toBe(real)
    expect(p.inbound.openIpv4(DST, dummy)).toBe(DROP.DUMMY)
    expect(p.in.use.cells[0]).toBe(1)
    // It has a sequence number as any other.
    expect(p.inbound.openIpv4(DST, dummy)).toBe(DROP.REPLAYED)
  }
})
