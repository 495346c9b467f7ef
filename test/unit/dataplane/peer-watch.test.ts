import { describe, expect, test } from 'vitest'
import type { FromLane, SocketSpec } from '../../../src/dataplane/messages.js'
import { PeerWatch } from '../../../src/dataplane/peer-watch.js'
import { UnknownSpis } from '../../../src/dataplane/unknown-spis.js'
import { ip, pair, put, saSpec, udpPacket } from '../ipsec/fixtures.js'

const SRC = 2_000
const DST = 10_000
/** Each socket address has 16 octets of a batch. */
const sources = (address: Uint8Array): Uint8Array => {
  const out = new Uint8Array(32)
  out.set(address, 16)
  return out
}
const SOURCES = sources(ip('203.0.113.2'))

describe('where the packets of an SA come from', () => {
  function scene() {
    const told: FromLane[] = []
    const p = pair(saSpec('aes128gcm16', { udp: { localPort: 4500, remotePort: 4500 } }))
    const watch = new PeerWatch((m) => told.push(m))
    const inner = udpPacket('10.1.0.1', '10.2.0.1', 100, {})
    const seal = (): Buffer => {
      put(p.slab, SRC, inner)
      const n = p.outbound.sealPayload(p.out, SRC, inner.length, DST)
      return Buffer.from(p.slab.bytes.slice(DST, DST + n))
    }
    const arrive = (packet: Uint8Array, port: number, source = SOURCES, at = 16): number => {
      put(p.slab, DST, packet)
      const n = p.inbound.openUdp(DST, packet.length, 0)
      if (n > 0) watch.accepted(p.inbound.sa!, p.slab.bytes, DST, source, at, port)
      return n
    }
    const { spi, local } = p.out.info
    return { told, watch, seal, arrive, known: sources(local), spi }
  }

  test('told once for each new place, and never for the one that is known', () => {
    const { told, seal, arrive, known, spi } = scene()
    expect(arrive(seal(), 4500, known)).toBeGreaterThan(0)
    expect(told).toEqual([])
    for (let i = 0; i < 3; i++) arrive(seal(), 5_000, known)
    for (let i = 0; i < 3; i++) arrive(seal(), 5_000)
    expect(told).toMatchObject([
      { op: 'packetFrom', remotePort: 5_000, key: { direction: 'inbound', spi } },
      { op: 'packetFrom', remotePort: 5_000, remote: Uint8Array.from(ip('203.0.113.2')) },
    ])
  })

  test('a late packet, one that comes again and a forged one tell nothing', () => {
    const { told, seal, arrive, known } = scene()
    const [late, newest] = [seal(), seal()]
    arrive(newest, 4500, known)
    expect(arrive(late, 6_000)).toBeGreaterThan(0)
    expect(arrive(newest, 6_000)).toBeLessThan(0)
    const forged = seal()
    forged[forged.length - 1]! ^= 1
    expect(arrive(forged, 6_000)).toBeLessThan(0)
    expect(told).toEqual([])
  })

  test('a peer that moves all the time is told of now and then, and not lost', () => {
    const { told, seal, arrive, watch } = scene()
    for (let i = 0; i < 100; i++) arrive(seal(), 5_000 + i)
    expect(told).toHaveLength(8)
    watch.refill()
    arrive(seal(), 5_099)
    expect(told.at(-1)).toMatchObject({ remotePort: 5_099 })
  })
})

describe('unknown SPIs', () => {
  const spec = (over: Partial<SocketSpec>): SocketSpec => ({
    ...{ fd: -1, kind: 'raw', family: 4, protocol: 50, gro: false, gso: false, linkFd: -1 },
    local: ip('192.0.2.1'),
    ...over,
  })
  const spi = Buffer.from('fedcba9800000001', 'hex')
  const ipv4 = (octets: Buffer): Buffer => Buffer.concat([Buffer.from([0x46]), Buffer.alloc(23), octets])
  const ah = Buffer.concat([Buffer.alloc(4), spi])

  test.each<[string, SocketSpec, Buffer, object]>([
    ['ESP', spec({}), ipv4(spi), { protocol: 'esp', localPort: 0, remotePort: 0 }],
    ['AH', spec({ protocol: 51 }), ipv4(ah), { protocol: 'ah', localPort: 0, remotePort: 0 }],
    ['AH over IPv6', spec({ family: 6, protocol: 51 }), ah, { protocol: 'ah', localPort: 0 }],
    ['UDP', spec({ kind: 'udp', protocol: 17 }), spi, { protocol: 'esp', localPort: 4500, remotePort: 7 }],
  ])('%s: found where the socket has it, and told of within the budget', (_, socket, packet, expected) => {
    const told: FromLane[] = []
    const unknown = new UnknownSpis((m) => told.push(m))
    for (let i = 0; i < 10; i++) unknown.report(packet, 0, socket, SOURCES, 16, 7)
    expect(told).toHaveLength(2)
    expect(told[0]).toMatchObject({
      ...{ op: 'unknownSpi', spi: 0xfedc_ba98, remote: Uint8Array.from(ip('203.0.113.2')) },
      ...expected,
    })
    unknown.refill()
    unknown.report(packet, 0, socket, SOURCES, 16, 7)
    expect(told).toHaveLength(3)
  })
})
