import { describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { Burst } from '../../../src/ipsec/burst.js'
import { Inbound } from '../../../src/ipsec/inbound.js'
import { Outbound } from '../../../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa } from '../../../src/ipsec/sa.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { Spd } from '../../../src/ipsec/spd.js'
import type { SaSpec } from '../../../src/sadb/sa-spec.js'
import { ipsecMbEngines } from '../../reference/ipsec-mb-libraries.js'
import { engines, get, ip, mirrored, put, SUITES, saSpec, udpPacket, verdict } from './fixtures.js'

// SAs with bursts against the same SAs without: the same octets leave, and the same packets come in, for the same reasons.

const ROOM = 2048
const PACKETS = 150
const BASE = SCRATCH_LEN + 256
const INNER = BASE + PACKETS * ROOM

const bursting = (suite: string): boolean => /-|ccm/.test(suite) && !suite.startsWith('ah')
const suites = Object.keys(SUITES).filter(bursting)

/** Two ends over one slab, which may work in bursts. */
function ends(suite: string, change: Partial<SaSpec>, burstOf: (slab: Slab) => Burst | undefined) {
  const slab = nativeSlab((PACKETS + 2) * ROOM)
  const burst = burstOf(slab)
  const spec = saSpec(suite, {
    local: ip('192.0.2.1'),
    remote: ip('192.0.2.2'),
    replayWindow: 256,
    ...change,
  })
  const options = { nowMs: 0, ivSalt: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), burst }
  const out = createOutboundSa(spec, engines, slab, options)
  const own = createInboundSa(mirrored(spec), engines, slab, options)
  const [sad, peers] = [new Sad(), new Sad()]
  sad.addOutbound(out)
  peers.addInbound(own)
  return {
    slab,
    burst,
    out,
    own,
    outbound: new Outbound(slab, new Spd(), sad),
    inbound: new Inbound(slab, peers),
  }
}
type Ends = ReturnType<typeof ends>

const packetOf = (i: number): Buffer => udpPacket('10.1.0.1', '10.2.0.1', (i * 37) % 1400)

/** Seals all packets, each at a place of its own; `whole` with the IP header in front. @returns what is there afterwards */
function sealAll({ slab, burst, out, outbound }: Ends, whole: boolean): Buffer[] {
  const lengths = Array.from({ length: PACKETS }, (_, i) => {
    const packet = packetOf(i)
    put(slab, INNER, packet)
    const at = BASE + i * ROOM
    return whole
      ? outbound.seal(out, INNER, packet.length, at)
      : outbound.sealPayload(out, INNER, packet.length, at)
  })
  burst?.run()
  return lengths.map((length, i) => get(slab, BASE + i * ROOM, length))
}

/** What becomes of each packet: its inner octets, or the reason why not. In bursts of `size`. */
function openAll(
  to: Ends,
  sealed: readonly Buffer[],
  whole: boolean,
  size: number,
): (Buffer | string | number)[] {
  const { slab, burst, inbound } = to
  const results: (Buffer | string | number)[] = []
  for (let from = 0; from < sealed.length; from += size) {
    const batch = sealed.slice(from, from + size)
    for (const [i, packet] of batch.entries()) slab.bytes.set(packet, BASE + i * ROOM)
    burst?.begin()
    for (const [i, packet] of batch.entries())
      if (whole) inbound.announceIpv4(BASE + i * ROOM, packet.length)
      else inbound.announce(BASE + i * ROOM, packet.length)
    burst?.run()
    for (const [i, packet] of batch.entries()) {
      const at = BASE + i * ROOM
      const n = whole ? inbound.openIpv4(at, packet.length) : inbound.openUdp(at, packet.length, 0)
      results.push(n < 0 ? verdict(n) : get(slab, inbound.at, n))
    }
  }
  return results
}

const engine = ipsecMbEngines()[0]?.engine
const burstOf = (slab: Slab): Burst | undefined => {
  const queue = engine?.queue?.(slab)
  return queue && new Burst(queue)
}

describe.skipIf(!engine?.queue)('bursts in the data path', () => {
  const cases = suites.flatMap((suite) =>
    [true, false].flatMap((esn) => [true, false].map((whole) => [suite, esn, whole] as const)),
  )

  test.each(cases)('%s, ESN %s, whole packets %s', (suite, esn, whole) => {
    const change: Partial<SaSpec> = { esn, ...(!whole && { udp: { localPort: 4500, remotePort: 4500 } }) }
    const with_ = ends(suite, change, burstOf)
    expect(with_.burst?.users).toBe(2)
    const without = ends(suite, change, () => undefined)
    const sealed = sealAll(with_, whole)
    expect(sealed).toEqual(sealAll(without, whole))

    // On the way some are changed, some doubled, some cut, some overtaken.
    const arriving = sealed.flatMap((packet, i) => {
      const changed = Buffer.from(packet)
      if (i % 11 === 3) changed[packet.length - 1 - (i % 40)]! ^= 1 << (i % 8)
      if (i % 13 === 5) return [changed, Buffer.from(packet)]
      if (i % 17 === 7) return [changed.subarray(0, packet.length - (i % 29))]
      return [changed]
    })
    for (let i = 0; i + 5 < arriving.length; i += 9)
      [arriving[i], arriving[i + 5]] = [arriving[i + 5]!, arriving[i]!]
    const expected = openAll(without, arriving, whole, 150)
    const size = 1 + (suite.length % 64)
    for (const n of [64, size, 150]) {
      const again = ends(suite, change, burstOf)
      const found = openAll(again, arriving, whole, n)
      expect(found, `bursts of ${n}`).toEqual(expected)
      expect(again.own.use.cells).toEqual(without.own.use.cells)
    }
    expect(expected.filter((r) => Buffer.isBuffer(r)).length).toBeGreaterThan(100)
    expect(expected).toContain('BAD_ICV')
    expect(expected).toContain('REPLAYED')
  })

  test('an SA that ends takes no part any more', () => {
    const to = ends('aes128-sha256', {}, burstOf)
    to.out.destroy()
    to.own.destroy()
    expect(to.burst?.users).toBe(0)
  })

  test('a burst that takes no more packets lets out zeros, not plaintext', () => {
    const slab = nativeSlab(8 * ROOM)
    const queue = engine!.queue!(slab)!
    const full = new Proxy(queue, {
      get: (target, name) =>
        name === 'cipherMac'
          ? (...parts: Parameters<typeof queue.cipherMac>) => ({
              ...queue.cipherMac(...parts),
              seal: () => -1,
            })
          : Reflect.get(target, name),
    })
    const out = createOutboundSa(saSpec('null-sha256', {}), engines, slab, {
      nowMs: 0,
      burst: new Burst(full),
    })
    const packet = packetOf(9)
    put(slab, BASE, packet)
    const n = new Outbound(slab, new Spd(), new Sad()).sealPayload(out, BASE, packet.length, BASE + ROOM)
    expect(get(slab, BASE + ROOM + 8, n - 8)).toEqual(Buffer.alloc(n - 8))
  })

  test('packets of an SA that is none of ours, of another protocol or too short are nobody’s', () => {
    const to = ends('aes128-sha256', {}, burstOf)
    const [first] = sealAll(to, true)
    const { slab, burst, inbound } = to
    for (const damage of [
      (p: Buffer) => p.fill(0),
      (p: Buffer) => p.writeUInt8(51, 9),
      (p: Buffer) => p.writeUInt8(0x4f, 0),
      (p: Buffer) => p.writeUInt16BE(0x2000, 6),
      (p: Buffer) => p.writeUInt16BE(9000, 2),
      (p: Buffer) => p.writeUInt32BE(7, 20),
    ]) {
      const packet = Buffer.from(first!)
      damage(packet)
      slab.bytes.set(packet, BASE)
      burst!.begin()
      inbound.announceIpv4(BASE, packet.length)
      expect(burst!.queue.length).toBe(0)
      expect(get(slab, BASE, packet.length)).toEqual(packet)
    }
    for (let length = 0; length < 40; length++) inbound.announceIpv4(BASE, length)
    expect(burst!.queue.length).toBe(0)
  })
})
