import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { createInboundSa, createOutboundSa } from '../../../src/ipsec/sa.js'
import { SAS_MAX, Sad } from '../../../src/ipsec/sad.js'
import { SelectorSet } from '../../../src/ipsec/selector-set.js'
import { POLICIES_MAX, Spd } from '../../../src/ipsec/spd.js'
import type { PolicySpec, SaSpec } from '../../../src/sadb/sa-spec.js'
import { nodeCryptoEngine } from '../../reference/node-crypto-engine.js'
import { anyV4, DST, mirrored, pair, put, SRC, saSpec, ts, udpPacket, verdict } from './fixtures.js'

const slab = plainSlab(4096)
const log = { made: 0, destroyed: 0 }
const engines = [nodeCryptoEngine(log)]
const outSa = (change: Partial<SaSpec> = {}, suite = 'aes128gcm16') =>
  createOutboundSa(saSpec(suite, change), engines, slab, { nowMs: 0 })
const inSa = (change: Partial<SaSpec> = {}, suite = 'aes128gcm16') =>
  createInboundSa(mirrored(saSpec(suite, change)), engines, slab, { nowMs: 0 })
const policy = (id: number, change: Partial<PolicySpec> = {}): PolicySpec => ({
  id,
  peer: 'b',
  child: 'c',
  mode: 'tunnel',
  protocol: 'esp',
  localTs: [anyV4],
  remoteTs: [anyV4],
  ...change,
})

describe('SAD', () => {
  test('inbound by protocol and SPI, also above 2^31', () => {
    const sad = new Sad()
    const [a, b, c] = [
      inSa({ spi: 0xffff_fff0 }),
      inSa({ spi: 0x1234_5678 }),
      inSa({ spi: 0xffff_fff0 }, 'ah-sha256'),
    ]
    for (const sa of [a, b, c]) sad.addInbound(sa)
    for (let round = 0; round < 2; round++) {
      expect(sad.inbound('esp', 0xffff_fff0)).toBe(a)
      expect(sad.inbound('esp', 0x1234_5678)).toBe(b)
      expect(sad.inbound('ah', 0xffff_fff0)).toBe(c)
      expect(sad.inbound('ah', 0x1234_5678)).toBeUndefined()
      expect(sad.inbound('esp', 0)).toBeUndefined()
    }
    expect([...sad]).toEqual([b, a, c].sort((x, y) => [a, b, c].indexOf(x) - [a, b, c].indexOf(y)))
  })

  test('a deleted SA is not found again, also not as the last one', () => {
    const sad = new Sad()
    const sa = inSa()
    sad.addInbound(sa)
    expect(sad.inbound('esp', sa.spi)).toBe(sa)
    const before = log.destroyed
    sad.delete(sa.key)
    expect(log.destroyed).toBe(before + 1)
    expect(sad.inbound('esp', sa.spi)).toBeUndefined()
    sad.delete(sa.key)
    const again = inSa()
    sad.addInbound(again)
    expect(sad.inbound('esp', sa.spi)).toBe(again)
  })

  test('the newest outbound SA of a policy serves; the older one is destroyed', () => {
    const sad = new Sad()
    const [a, b, other] = [outSa({ spi: 1000 }), outSa({ spi: 1001 }), outSa({ spi: 1000, policy: 2 })]
    sad.addOutbound(a)
    sad.addOutbound(other)
    const before = log.destroyed
    sad.addOutbound(b)
    expect(log.destroyed).toBe(before + 1)
    expect(sad.outbound(1)).toBe(b)
    // The old one's deletion, which comes later, does not hit the new one.
    sad.delete(a.key)
    expect(sad.outbound(1)).toBe(b)
    expect(sad.outbound(2)).toBe(other)
    sad.delete({ direction: 'outbound', protocol: 'esp', spi: 1000 })
    expect(sad.outbound(2)).toBeUndefined()
  })

  test('bounded', () => {
    const sad = new Sad()
    for (let i = 0; i < SAS_MAX; i++) sad.addInbound(inSa({ spi: 1000 + i }))
    expect(() => sad.addInbound(inSa({ spi: 999 }))).toThrow(/more than 4096 inbound SAs/)
    sad.addInbound(inSa({ spi: 1000 })) // in place of another
    for (let i = 0; i < SAS_MAX; i++) sad.addOutbound(outSa({ policy: i }))
    expect(() => sad.addOutbound(outSa({ policy: SAS_MAX }))).toThrow(/outbound/)
    const { made, destroyed } = log
    sad.clear()
    expect(log.destroyed - destroyed).toBe(2 * SAS_MAX)
    expect(log.made).toBe(made)
    expect([...sad]).toEqual([])
  })
})

describe('SPD', () => {
  test('order decides; replacing keeps the place', () => {
    const p = pair(saSpec('aes128gcm16'))
    p.spd.delete(1)
    p.spd.add(policy(5, { remoteTs: [ts('10.2.0.0/24')] }))
    p.spd.add(policy(6))
    const look = (to: string): number => {
      const packet = udpPacket('10.1.0.1', to, 1)
      put(p.slab, SRC, packet)
      expect(verdict(p.outbound.lookup(SRC, packet.length))).toBe('ACQUIRE')
      return p.outbound.policy
    }
    expect(look('10.2.0.1')).toBe(5)
    expect(look('10.2.1.1')).toBe(6)
    p.spd.add(policy(5, { remoteTs: [ts('10.2.1.0/24')] }))
    expect(look('10.2.0.1')).toBe(6)
    expect(look('10.2.1.1')).toBe(5)
    expect(p.spd.all.map((x) => x.id)).toEqual([5, 6])
  })

  test('fragments without ports match selectors for any port only', () => {
    const p = pair(saSpec('aes128gcm16'))
    p.spd.add(policy(1, { remoteTs: [{ ...anyV4, protocol: 17, startPort: 2000, endPort: 2000 }] }))
    const packet = udpPacket('10.1.0.1', '10.2.0.1', 16)
    const look = (): string | number => {
      put(p.slab, SRC, packet)
      return verdict(p.outbound.lookup(SRC, packet.length))
    }
    expect(look()).toBe(packet.length)
    packet.writeUInt16BE(0x2000, 6) // the first fragment shows its ports
    expect(look()).toBe(packet.length)
    packet.writeUInt16BE(0x0002, 6)
    expect(look()).toBe('NO_POLICY')
    p.spd.add(policy(1, { remoteTs: [{ ...anyV4, protocol: 17 }] }))
    expect(look()).toBe(packet.length)
  })

  test('bounded', () => {
    const spd = new Spd()
    for (let i = 0; i < POLICIES_MAX; i++) spd.add(policy(i))
    expect(() => spd.add(policy(POLICIES_MAX))).toThrow(/more than 1024 policies/)
    spd.add(policy(3))
    expect(() => new SelectorSet(new Array(256).fill(anyV4))).toThrow(/at most 255/)
    expect(() => new SelectorSet([{ ...anyV4, end: new Uint8Array(16) }])).toThrow(/families/)
  })
})

describe('what is remembered of a flow is forgotten when', () => {
  const packet = udpPacket('10.1.0.1', '10.2.0.1', 10)
  const send = (p: ReturnType<typeof pair>): string | number => {
    put(p.slab, SRC, packet)
    const found = p.outbound.lookup(SRC, packet.length)
    return found < 0 ? verdict(found) : verdict(p.outbound.seal(p.outbound.sa!, SRC, packet.length, DST))
  }

  test('a new SA takes over', () => {
    const p = pair(saSpec('aes128gcm16'))
    expect(send(p)).toBeGreaterThan(0)
    const next = createOutboundSa(saSpec('aes128gcm16', { spi: 0x7777 }), engines, p.slab, { nowMs: 0 })
    p.sad.addOutbound(next)
    expect(send(p)).toBeGreaterThan(0)
    expect(p.outbound.sa).toBe(next)
    expect(next.sequenceLow).toBe(1)
  })

  test('the SA is deleted', () => {
    const p = pair(saSpec('aes128gcm16'))
    send(p)
    p.sad.delete(p.out.key)
    expect(send(p)).toBe('ACQUIRE')
    expect(p.outbound.sa).toBeUndefined()
  })

  test('a policy comes or goes', () => {
    const p = pair(saSpec('aes128gcm16'))
    send(p)
    p.spd.delete(1)
    expect(send(p)).toBe('NO_POLICY')
  })
})
