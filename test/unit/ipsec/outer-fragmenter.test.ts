import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { FRAGMENT_HEADER_ROOM } from '../../../src/ipsec/ipv4-fragmenter.js'
import { OuterFragmenter } from '../../../src/ipsec/outer-fragmenter.js'
import { Reassembly } from '../../../src/replay/reassembly.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { DST, get, ip, type Pair, pair, put, SRC, saSpec, udpPacket } from './fixtures.js'

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }
const OWN = 1_024
const AT = 2_048

/** Fragments of a packet, as they would be sent. */
function cut(packet: Uint8Array, mtu: number, identification = 0): Buffer[] {
  const slab = plainSlab(300_000)
  const fragmenter = new OuterFragmenter(slab, OWN, identification)
  slab.bytes.set(packet, AT)
  const out: Buffer[] = []
  if (!fragmenter.begin(AT, packet.length, mtu)) return out
  let to = AT + packet.length
  for (let n = fragmenter.next(to); n > 0; n = fragmenter.next(to)) {
    out.push(get(slab, to, n))
    to += n
  }
  return out
}

/** What the receiving kernel makes of them, in any order. */
function join(fragments: readonly Buffer[]): Uint8Array | undefined {
  const reassembly = new Reassembly()
  let whole: Uint8Array | undefined
  for (const f of fragments) whole = reassembly.add(f, 0, f.length, 0n) ?? whole
  return whole
}

function sealed(p: Pair, inner: Uint8Array): Buffer {
  put(p.slab, SRC, inner)
  return get(p.slab, DST, p.outbound.seal(p.out, SRC, inner.length, DST))
}

const cases: [string, SaSpec][] = [
  ['ESP tunnel over IPv6', saSpec('aes128gcm16', V6)],
  ['AH tunnel over IPv6', saSpec('ah-sha256', V6)],
  ['ESP in UDP over IPv6', saSpec('aes128gcm16', { ...V6, udp: { localPort: 4500, remotePort: 4500 } })],
  ['ESP tunnel over IPv4', saSpec('aes128gcm16')],
  ['AH tunnel over IPv4', saSpec('ah-sha256')],
]

describe('outer fragments', () => {
  test.each(cases)('%s: fit, and are the packet again where they arrive', (_, spec) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 576, max: 1500 }), (size, mtu) => {
        // A new SA each time: its sequence starts again.
        const p = pair(spec, {}, { df: 'clear' })
        const inner = udpPacket('10.1.0.1', '10.2.0.1', size)
        const packet = sealed(p, inner)
        const fragments = cut(packet, mtu)
        for (const f of fragments) expect(f.length).toBeLessThanOrEqual(mtu)
        const whole = join([...fragments].reverse())
        if (!whole) return expect(fragments.length).toBe(1)
        expect(Buffer.from(whole)).toEqual(packet)
        put(p.slab, DST, whole)
        const v6 = spec.local.length === 16
        const n = v6 ? p.inbound.openIpv6(DST, whole.length) : p.inbound.openIpv4(DST, whole.length)
        expect(get(p.slab, p.inbound.at, n)).toEqual(inner)
      }),
      { numRuns: 40 },
    )
  })

  test.each(['esp', 'ah'])('transport mode with extension headers: %s', (protocol) => {
    const spec = saSpec(protocol === 'esp' ? 'aes128gcm16' : 'ah-sha256', { ...V6, mode: 'transport' })
    const p = pair(spec)
    const plain = udpPacket('2001:db8::1', '2001:db8::2', 2000)
    // Hop-by-hop options in front: a pad of six octets.
    const hop = Buffer.from([17, 0, 1, 4, 0, 0, 0, 0])
    const inner = Buffer.concat([plain.subarray(0, 40), hop, plain.subarray(40)])
    inner.writeUInt16BE(inner.length - 40, 4)
    inner[6] = 0
    const packet = sealed(p, inner)
    const fragments = cut(packet, 1280)
    expect(fragments.length).toBe(2)
    // Hop-by-hop options stay in front of the fragment header, in every fragment.
    for (const f of fragments) expect([f[6], f[40]]).toEqual([0, 44])
    const whole = join(fragments)!
    expect(Buffer.from(whole)).toEqual(packet)
    put(p.slab, DST, whole)
    const n = p.inbound.openIpv6(DST, whole.length)
    expect(get(p.slab, p.inbound.at, n)).toEqual(inner)
  })

  test('each IPv6 packet has an identification of its own', () => {
    const slab = plainSlab(300_000)
    const fragmenter = new OuterFragmenter(slab, OWN, 0xffff_ffff)
    const packet = sealed(pair(saSpec('aes128gcm16', V6)), udpPacket('10.1.0.1', '10.2.0.1', 1400))
    const ids = [0, 1, 2].map(() => {
      slab.bytes.set(packet, AT)
      expect(fragmenter.begin(AT, packet.length, 1280)).toBe(true)
      fragmenter.next(AT + packet.length)
      return slab.view.getUint32(AT + packet.length + 44)
    })
    expect(ids).toEqual([0, 1, 2])
  })

  test('what is no such packet, or has no room, is refused', () => {
    const packet = sealed(pair(saSpec('aes128gcm16', V6)), udpPacket('10.1.0.1', '10.2.0.1', 1400))
    expect(cut(packet, 55)).toEqual([])
    expect(cut(packet.subarray(0, packet.length - 1), 1280)).toEqual([])
    const tcp = Buffer.from(packet)
    tcp[6] = 6
    expect(cut(tcp, 1280)).toEqual([])
    expect(FRAGMENT_HEADER_ROOM).toBeGreaterThanOrEqual(60)
  })
})
