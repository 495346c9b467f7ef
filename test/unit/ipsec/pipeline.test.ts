import { describe, expect, test } from 'vitest'
import { sealedLength } from '../../../src/ipsec/outbound.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { espTwinIv, espTwinSeal } from '../../reference/ipsec-twin.js'
import {
  DST,
  get,
  ip,
  ipv4HeaderChecksum,
  type Pair,
  pair,
  put,
  SRC,
  SUITES,
  saSpec,
  udpPacket,
  verdict,
} from './fixtures.js'

// Every suite, mode, family and encapsulation from one end's packet to the other end's packet.

interface Shape {
  suite: string
  mode: 'tunnel' | 'transport'
  outer: 4 | 6
  inner: 4 | 6
  udp: boolean
}

const shapes: Shape[] = []
for (const suite of Object.keys(SUITES))
  for (const mode of ['tunnel', 'transport'] as const)
    for (const outer of [4, 6] as const)
      for (const inner of [4, 6] as const)
        for (const udp of [false, true]) {
          if (mode === 'transport' && inner !== outer) continue
          if (udp && suite.startsWith('ah')) continue
          shapes.push({ suite, mode, outer, inner, udp })
        }

const V4 = ['192.0.2.1', '192.0.2.2'] as const
const V6 = ['2001:db8::1', '2001:db8::2'] as const

function specOf(s: Shape): SaSpec {
  const [local, remote] = s.outer === 4 ? V4 : V6
  return saSpec(s.suite, {
    mode: s.mode,
    local: ip(local),
    remote: ip(remote),
    ...(s.udp && { udp: { localPort: 4500, remotePort: 4501 } }),
  })
}

function packetOf(s: Shape, payload: number): Buffer {
  const [a, b] =
    s.mode === 'transport'
      ? s.inner === 4
        ? V4
        : V6
      : s.inner === 4
        ? ['10.1.0.1', '10.2.0.1']
        : ['fd00:1::1', 'fd00:2::1']
  return udpPacket(a, b, payload, { tos: 0xb9 })
}

const name = (s: Shape): string =>
  `${s.suite} ${s.mode} IPv${s.inner} in IPv${s.outer}${s.udp ? ' in UDP' : ''}`

function send(p: Pair, packet: Buffer, dst: number, at = SRC): number {
  put(p.slab, at, packet)
  expect(p.outbound.lookup(at, packet.length + 3)).toBe(packet.length)
  return p.outbound.seal(p.outbound.sa!, at, packet.length, dst)
}

const openWhole = (p: Pair, at: number, n: number, outer: 4 | 6): number =>
  outer === 4 ? p.inbound.openIpv4(at, n) : p.inbound.openIpv6(at, n)

test('a train of UDP-encapsulated transport mode: all packets are there at the end', () => {
  for (const outer of [4, 6] as const)
    for (const suite of ['aes128gcm16', 'aes128-sha256', 'null-sha256']) {
      const s: Shape = { suite, mode: 'transport', outer, inner: outer, udp: true }
      const p = pair(specOf(s))
      for (let round = 0; round < 3; round++) {
        const train: { at: number; n: number; packet: Buffer }[] = []
        let end = DST
        for (let i = 0; i < 40; i++) {
          const packet = packetOf(s, 1 + i * 30)
          put(p.slab, SRC, packet)
          const n = p.outbound.sealPayload(p.out, SRC, packet.length, end)
          train.push({ at: end, n, packet })
          end += n
        }
        const opened = train.map(({ at, n, packet }) => {
          const got = p.inbound.openUdp(at, n, 0xb9)
          expect(verdict(got)).toBe(packet.length)
          const inner = p.inbound.at
          p.slab.bytes.fill(0, inner - 16, inner) // a vnet header
          return inner
        })
        for (const [i, at] of opened.entries()) {
          const { packet } = train[i]!
          const kept = outer === 4 ? 12 : 0 // the identification is another one
          expect(get(p.slab, at + kept, packet.length - kept)).toEqual(packet.subarray(kept))
        }
        p.inbound.rewind()
      }
    }
})

describe.each(shapes.map((s) => [name(s), s] as const))('%s', (_, s) => {
  const icv = s.suite.startsWith('ah')

  test('whole packets of every length modulo the block', () => {
    const p = pair(specOf(s))
    for (let payload = 0; payload < 18; payload++) {
      const packet = packetOf(s, payload)
      const n = send(p, packet, DST)
      expect(n).toBeGreaterThan(packet.length)
      expect(n).toBeLessThanOrEqual(sealedLength(p.out, packet.length))
      // Source and what lies behind it are as they were.
      expect(get(p.slab, SRC, packet.length + 64)).toEqual(Buffer.concat([packet, Buffer.alloc(64, 0xa5)]))
      const outer = get(p.slab, DST, n)
      expect(outer[0]! >>> 4).toBe(s.outer)
      if (s.outer === 4) expect(outer.readUInt16BE(2)).toBe(n)
      else expect(outer.readUInt16BE(4)).toBe(n - 40)
      const protocol = outer[s.outer === 4 ? 9 : 6]
      expect(protocol).toBe(s.udp ? 17 : icv ? 51 : 50)
      expect(p.outbound.tos).toBe(0xb9)
      const got = openWhole(p, DST, n, s.outer)
      expect(verdict(got)).toBe(packet.length)
      expect(get(p.slab, p.inbound.at, got)).toEqual(packet)
    }
    expect(p.out.use.cells[0]).toBe(18)
    expect(p.in.use.cells[0]).toBe(18)
    expect(p.in.use.cells[1]).toBe(p.out.use.cells[1])
  })

  test('the same packet twice is accepted once', () => {
    const p = pair(specOf(s))
    const n = send(p, packetOf(s, 40), DST)
    const copy = get(p.slab, DST, n)
    expect(openWhole(p, DST, n, s.outer)).toBeGreaterThan(0)
    put(p.slab, DST, copy)
    expect(verdict(openWhole(p, DST, n, s.outer))).toBe('REPLAYED')
  })

  if (!icv)
    test('what a socket sends and receives: from the ESP header on', () => {
      const p = pair(specOf(s))
      for (const payload of [0, 1, 100]) {
        const packet = packetOf(s, payload)
        put(p.slab, SRC, packet)
        expect(p.outbound.lookup(SRC, packet.length)).toBe(packet.length)
        const n = p.outbound.sealPayload(p.outbound.sa!, SRC, packet.length, DST)
        expect(p.outbound.protectedAt).toBe(DST)
        expect(get(p.slab, DST, 4).toString('hex')).toBe('0badcafe')
        const before = get(p.slab, DST - 64, 64)
        const got =
          s.outer === 6 && !s.udp
            ? p.inbound.openIpv6Payload(DST, n, 50, p.outbound.tos, ip(V6[0]), 0)
            : p.inbound.openUdp(DST, n, p.outbound.tos)
        expect(verdict(got)).toBe(packet.length)
        const inner = get(p.slab, p.inbound.at, got)
        expect(headerIsSound(inner)).toBe(true)
        if (s.mode === 'transport' && s.inner === 4) packet.writeUInt16BE(0, 4) // no identification
        if (s.mode === 'transport' && s.inner === 4) packet.writeUInt16BE(inner.readUInt16BE(10), 10)
        expect(inner).toEqual(packet)
        // A raw socket's packet may grow into its head room; a datagram of a train has none.
        const kept = s.outer === 6 && !s.udp && s.mode === 'transport' ? 24 : 64
        expect(get(p.slab, DST - 64, kept)).toEqual(before.subarray(0, kept))
      }
    })

  test('in place: the payload keeps its place', () => {
    const p = pair(specOf(s))
    const packet = packetOf(s, 77)
    const probe = send(p, packet, DST)
    expect(probe).toBeGreaterThan(0)
    // Where the payload went, counted from the start of the outer packet, is where it has to be already.
    const ipHeader = s.outer === 4 ? 20 : 40
    const kept = s.mode === 'transport' ? ipHeader : 0
    const front = p.outbound.protectedAt - DST + frontOf(p, s)
    const dst = SRC + kept - front
    const n = send(p, packet, dst)
    expect(n).toBe(probe)
    const got = openWhole(p, dst, n, s.outer)
    expect(verdict(got)).toBe(packet.length)
    expect(get(p.slab, p.inbound.at, got)).toEqual(packet)
  })

  if (!icv)
    test('the slow twin makes the same octets', () => {
      const spec = specOf(s)
      const p = pair(spec)
      const packet = packetOf(s, 33)
      const n = send(p, packet, DST)
      const esp = get(p.slab, p.outbound.protectedAt, n - (p.outbound.protectedAt - DST))
      const payload = s.mode === 'tunnel' ? packet : packet.subarray(s.inner === 4 ? 20 : 40)
      const next = s.mode === 'transport' ? 17 : s.inner === 4 ? 4 : 41
      expect(esp).toEqual(espTwinSeal(spec, 0, 1, espTwinIv(spec, esp), payload, next))
    })
})

/** Octets of ESP header and IV, or of AH. */
function frontOf(p: Pair, s: Shape): number {
  if (p.out.esp) return 8 + p.out.esp.ivLength
  const align = s.outer === 4 ? 4 : 8
  return Math.ceil((12 + p.out.ah!.icvLength) / align) * align
}

/** Length fields and the IPv4 header checksum. */
function headerIsSound(packet: Buffer): boolean {
  if (packet[0]! >>> 4 === 6) return packet.readUInt16BE(4) === packet.length - 40
  return (
    packet.readUInt16BE(2) === packet.length &&
    packet.readUInt16BE(10) === ipv4HeaderChecksum(packet.subarray(0, 20))
  )
}
