import { describe, expect, test } from 'vitest'
import { DST, get, ip, type Pair, pair, put, SRC, SUITES, saSpec, udpPacket, verdict } from './fixtures.js'

// One bit of an authentic packet is turned over: every bit, one at a time. What comes of it must never be an inner packet, unless the bit
// is one that a router may change.

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }

function sealed(p: Pair, packet: Buffer): Buffer {
  put(p.slab, SRC, packet)
  const n = p.outbound.seal(p.out, SRC, packet.length, DST)
  return get(p.slab, DST, n)
}

/** Bits that the receiver does not authenticate, by octet: a mask. */
function unprotected(suite: string, v6: boolean, octet: number): number {
  const ah = suite.startsWith('ah')
  if (v6) {
    // Traffic class, flow label, hop limit. ESP covers nothing of the outer header.
    if (octet < 4) return octet === 0 ? 0x0f : 0xff
    if (octet === 7) return 0xff
    return !ah && octet >= 8 && octet < 24 ? 0xff : 0
  }
  if (octet === 1 || octet === 8 || octet === 10 || octet === 11) return 0xff
  if (octet === 6) return 0xc0 // the reserved bit and DF; more would be a fragment
  if (ah) return 0
  return (octet >= 4 && octet < 6) || (octet >= 12 && octet < 16) ? 0xff : 0
}

for (const suite of Object.keys(SUITES))
  for (const mode of ['tunnel', 'transport'] as const)
    for (const v6 of [false, true])
      test(`${suite} ${mode} over IPv${v6 ? 6 : 4}`, () => {
        const spec = saSpec(suite, {
          mode,
          ...(v6 && V6),
          // In transport mode the selectors guard the addresses that ESP does not cover.
          ...(mode === 'transport' && {
            localTs: [
              {
                start: v6 ? V6.local : ip('192.0.2.1'),
                end: v6 ? V6.local : ip('192.0.2.1'),
                protocol: 0,
                startPort: 0,
                endPort: 65535,
              },
            ],
          }),
        })
        const p = pair(spec)
        const packet =
          mode === 'tunnel'
            ? udpPacket('10.1.0.1', '10.2.0.1', 21, { tos: 2 })
            : udpPacket(v6 ? '2001:db8::1' : '192.0.2.1', v6 ? '2001:db8::2' : '192.0.2.2', 21)
        const good = sealed(p, packet)
        const causes = new Set<string>()
        for (let bit = 0; bit < good.length * 8; bit++) {
          const octet = bit >>> 3
          const mask = 0x80 >>> (bit & 7)
          const bad = Buffer.from(good)
          bad[octet]! ^= mask
          put(p.slab, DST, bad)
          const n = v6 ? p.inbound.openIpv6(DST, bad.length) : p.inbound.openIpv4(DST, bad.length)
          const harmless = (unprotected(suite, v6, octet) & mask) !== 0
          if (n >= 0) {
            expect(
              harmless,
              `bit ${bit & 7} of octet ${octet} of ${good.length} was turned over and accepted`,
            ).toBe(true)
          } else causes.add(String(verdict(n)))
          // ESP does not cover the source address: the packet is authentic, takes its number, and fails at the selectors.
          if (n >= 0 || verdict(n) === 'SELECTOR_MISMATCH') p.in.replay.startAt(0, 0)
        }
        expect(causes).toContain('BAD_ICV')
        expect(causes).toContain('UNKNOWN_SPI')
        // Nothing of all this has cost the authentic packet its place.
        put(p.slab, DST, good)
        expect(v6 ? p.inbound.openIpv6(DST, good.length) : p.inbound.openIpv4(DST, good.length)).toBe(
          packet.length,
        )
      })

describe('truncation and extension', () => {
  test.each(Object.keys(SUITES))('%s', (suite) => {
    const p = pair(saSpec(suite))
    const good = sealed(p, udpPacket('10.1.0.1', '10.2.0.1', 50))
    for (let n = 20; n < good.length + 40; n++) {
      if (n === good.length) continue
      const bad = Buffer.concat([good, Buffer.alloc(64)]).subarray(0, n)
      bad.writeUInt16BE(n, 2)
      put(p.slab, DST, bad)
      expect(p.inbound.openIpv4(DST, n)).toBeLessThan(0)
    }
    put(p.slab, DST, good)
    // Octets behind the outer packet are not part of it.
    expect(p.inbound.openIpv4(DST, good.length + 9)).toBe(78)
  })
})

test('a packet of another SA with the same SPI number in the other protocol, or under another key, is refused', () => {
  const a = pair(saSpec('aes128gcm16'))
  const b = pair(saSpec('aes128gcm16', { encryption: { id: 20, key: new Uint8Array(20).fill(3) } }))
  const packet = sealed(a, udpPacket('10.1.0.1', '10.2.0.1', 50))
  put(b.slab, DST, packet)
  expect(verdict(b.inbound.openIpv4(DST, packet.length))).toBe('BAD_ICV')
  packet[9] = 51
  put(a.slab, DST, packet)
  expect(a.inbound.openIpv4(DST, packet.length)).toBeLessThan(0)
})
