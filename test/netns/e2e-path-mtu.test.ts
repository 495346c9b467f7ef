import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { onesComplementSum } from '../../src/bytes/checksum.js'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'

const why = whyNoLab({ tun: true })
const ETHERNET = 14
const ROUTER = [192, 0, 2, 99]

/** What a router on the way sends back about a frame that it will not forward. */
function tooBig(frame: Buffer, mtu: number, spoil?: (packet: Buffer) => void): Buffer {
  const packet = Buffer.from(frame.subarray(ETHERNET, ETHERNET + 576 - 28))
  const total = 28 + packet.length
  const out = Buffer.alloc(ETHERNET + total)
  // Back to where the frame came from.
  frame.copy(out, 0, 6, 12)
  frame.copy(out, 6, 0, 6)
  out.writeUInt16BE(0x0800, 12)
  out.set([0x45, 0xc0, total >>> 8, total & 0xff, 0, 0, 0, 0, 64, 1], ETHERNET)
  out.set(ROUTER, ETHERNET + 12)
  packet.copy(out, ETHERNET + 16, 12, 16)
  out.writeUInt16BE(~onesComplementSum(out, ETHERNET, 20, 0) & 0xffff, ETHERNET + 10)
  const icmp = ETHERNET + 20
  out.set([3, 4], icmp)
  out.writeUInt16BE(mtu, icmp + 6)
  spoil?.(packet)
  packet.copy(out, icmp + 8)
  out.writeUInt16BE(~onesComplementSum(out, icmp, total - 20, 0) & 0xffff, icmp + 2)
  return out
}

describe.skipIf(why !== undefined)('path MTU', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  const carry = async (): Promise<void> => {
    const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]
    const moved = await transferImage(lab, { from, to, octets: 1 << 20, deadlineMs: 15_000 })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
  }
  const longest = async (kind: 'esp' | 'esp-udp' | 'ah'): Promise<number> => {
    const frames = await lab.wire.frames(kind, 'a-to-b')
    return Math.max(...frames.map((frame) => frame.length - ETHERNET))
  }

  const esp = { protocol: 'esp', proposals: ['aes128gcm16'] }
  test.each<[string, 'esp' | 'esp-udp' | 'ah', number, GatewaySettings]>([
    ['ESP in UDP', 'esp-udp', 28, { child: esp, peer: { encapsulation: 'udp' } }],
    ['ESP', 'esp', 20, { child: esp, peer: { encapsulation: 'raw' } }],
    ['AH', 'ah', 24, { child: { protocol: 'ah', proposals: ['sha256'] } }],
  ])(
    '%s: a router is believed when it quotes an SA, and packets then fit',
    async (_, kind, spiAt, settings) => {
      gateways = await Gateway.pair(lab, settings)
      const sender = gateways[0]!
      await lab.wire.watch({ keep: 64 })
      await carry()
      expect(await longest(kind)).toBeGreaterThan(1400)
      const frames = await lab.wire.frames(kind, 'a-to-b')
      const large = frames.find((frame) => frame.length > 1400)!

      // Forged: another SPI, and a path that nobody has.
      const otherSpi = (packet: Buffer): void => {
        packet[spiAt] = packet[spiAt]! ^ 0xff
      }
      await lab.wire.inject('b-to-a', [tooBig(large, 1300, otherSpi), tooBig(large, 500)])
      await sender.until('ICMP counted', (s) => (s.drops['icmp-ignored'] ?? 0) >= 2)
      expect((await sender.status()).paths).toEqual([])

      await lab.wire.inject('b-to-a', [tooBig(large, 1300)])
      const told = await sender.until('path MTU known', (s) => s.paths.length > 0)
      expect(told.paths).toMatchObject([{ remote: ADDRESSES.b.v4, mtu: 1300 }])
      // The kernel still thinks in the device's MTU: its large packets are cut smaller, and it is told.
      await carry()
      await lab.wire.watch({ keep: 64 })
      await carry()
      expect(await longest(kind)).toBeLessThanOrEqual(1300)
      expect(await longest(kind)).toBeGreaterThan(1200)
      // A datagram that may not be fragmented comes back to its sender; one that may arrives.
      const ping = (...more: string[]): string => {
        const argv = [
          '-c',
          '2',
          '-W',
          '2',
          '-s',
          '1300',
          '-I',
          ADDRESSES.a.inner4,
          ...more,
          ADDRESSES.b.inner4,
        ]
        try {
          return lab.exec('a', 'ping', ...argv)
        } catch (error) {
          return (error as Error).message
        }
      }
      expect(ping('-M', 'do')).toMatch(/mtu ?= ?12\d\d/)
      expect(ping('-M', 'dont')).toContain(' 0% packet loss')
      expect((await sender.status()).drops['too-big']).toBeGreaterThanOrEqual(1)
    },
  )
})

describe.skipIf(why !== undefined)('jumbo frames on the underlay', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'cable', mtu: 9000 })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  test.each<[string, GatewaySettings]>([
    ['ESP in UDP', { peer: { encapsulation: 'udp' } }],
    ['ESP', { peer: { encapsulation: 'raw' } }],
    ['AH', { child: { protocol: 'ah', proposals: ['sha256'] } }],
    ['ESP in UDP over IPv6', { outer: 6, peer: { encapsulation: 'udp' } }],
    ['ESP over IPv6', { outer: 6, peer: { encapsulation: 'raw' } }],
  ])('%s', async (_, settings) => {
    gateways = await Gateway.pair(lab, settings)
    const mtu = Number(/mtu (\d+)/.exec(lab.exec('a', 'ip', 'link', 'show', 'sally0'))?.[1])
    expect(mtu).toBeGreaterThan(8850)
    expect(mtu).toBeLessThan(9000)
    const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]
    const moved = await transferImage(lab, { from, to, octets: 16 << 20, deadlineMs: 15_000 })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    const { counters, drops } = await gateways[1]!.status()
    // Packets are jumbo, not cut to 1500.
    expect(counters.tunWriteOctets / counters.tunWritePackets).toBeGreaterThan(4000)
    expect(drops['bad-icv'] ?? 0).toBe(0)
    const size = String(mtu - 28)
    const ping = lab.exec(
      'a',
      'ping',
      '-c',
      '3',
      '-i',
      '0.2',
      '-W',
      '2',
      '-M',
      'do',
      '-s',
      size,
      '-I',
      from,
      to,
    )
    expect(ping).toContain(' 0% packet loss')
  })
})
