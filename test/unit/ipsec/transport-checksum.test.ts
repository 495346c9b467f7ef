import { describe, expect, test } from 'vitest'
import { Inbound } from '../../../src/ipsec/inbound.js'
import { createInboundSa } from '../../../src/ipsec/sa.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { buildPacket, type PacketShape, packetIsSound } from '../../reference/tcp-packets.js'
import { DST, engines, get, ip, mirrored, pair, put, REBUILD, REBUILD_LEN, SRC, saSpec } from './fixtures.js'

// A host behind a NAT sends in transport mode: at the other end its packets have the NAT's address, and their checksums were
// made with its own.

const TCP = 6
const UDP = 17

/** What buildPacket writes, and how the NAT shows the sender. */
const HOSTS = {
  4: { hidden: '10.88.1.1', far: '10.88.2.1', seen: '198.51.100.7' },
  6: { hidden: 'fd00::1', far: 'fd00::2', seen: '2001:db8::7' },
} as const

/** What the far end gets of a packet that the hidden one seals. */
function carried(packet: Uint8Array): Buffer {
  const { hidden, seen, far } = HOSTS[packet[0]! >>> 4 === 4 ? 4 : 6]
  const udp = { localPort: 4500, remotePort: 4500 }
  const spec = saSpec('aes128gcm16', { mode: 'transport', udp, local: ip(hidden), remote: ip(far) })
  const p = pair(spec)
  const sad = new Sad()
  sad.addInbound(
    createInboundSa({ ...mirrored(spec), remote: ip(seen) }, engines, p.slab, {
      nowMs: 0,
    }),
  )
  put(p.slab, SRC, packet)
  const n = p.outbound.sealPayload(p.out, SRC, packet.length, DST)
  expect(n).toBeGreaterThan(0)
  const inbound = new Inbound(p.slab, sad, { at: REBUILD, length: REBUILD_LEN })
  expect(inbound.openUdp(DST, n, 0)).toBe(packet.length)
  return get(p.slab, inbound.at, packet.length)
}

const shape = (version: 4 | 6, protocol: 6 | 17, octets: number): PacketShape => ({
  ...{ version, protocol, sourcePort: 40_000, seq: 7, flags: 0x18, id: 1, dontFragment: true },
  options: new Uint8Array(0),
  payload: Uint8Array.from({ length: octets }, (_, i) => i * 7),
})

const SIZES = [0, 1, 2, 33, 1000, 1399]

describe.each([4, 6] as const)('IPv%i', (version) => {
  const headers = version === 4 ? 20 : 40
  const checksumAt = { [TCP]: headers + 16, [UDP]: headers + 6 }

  test.each([TCP, UDP] as const)(
    'protocol %i: the checksum holds with the address that is known here',
    (protocol) => {
      for (const octets of SIZES) {
        const packet = buildPacket(shape(version, protocol, octets))
        const got = carried(packet)
        expect(packetIsSound(got)).toBe(true)
        // Nothing else of the payload is touched.
        const field = checksumAt[protocol]
        const rest = (p: Uint8Array): Uint8Array =>
          Uint8Array.from([...p.subarray(headers, field), ...p.subarray(field + 2)])
        expect(rest(got)).toEqual(rest(packet))
      }
    },
  )

  test('UDP without a checksum has none afterwards', () => {
    const packet = buildPacket(shape(version, UDP, 20))
    packet.fill(0, headers + 6, headers + 8)
    expect([...carried(packet).subarray(headers + 6, headers + 8)]).toEqual([0, 0])
  })

  test('a UDP length that is not the packet’s: nothing is written outside of the datagram', () => {
    for (const length of [0, 7, 28, 29, 0xffff]) {
      const packet = buildPacket(shape(version, UDP, 20))
      packet[headers + 4] = length >>> 8
      packet[headers + 5] = length
      const got = carried(packet)
      expect([...got.subarray(headers, headers + 6)]).toEqual([...packet.subarray(headers, headers + 6)])
      expect([...got.subarray(headers + 8)]).toEqual([...packet.subarray(headers + 8)])
      if (length !== 28) expect([...got.subarray(headers + 6)]).toEqual([...packet.subarray(headers + 6)])
    }
  })

  test('a TCP header that is cut short is left alone', () => {
    const packet = buildPacket(shape(version, TCP, 0)).subarray(0, headers + 19)
    if (version === 4) {
      packet[3] = 39
      packet.fill(0, 10, 12)
    } else packet[5] = 19
    expect([...carried(packet).subarray(headers)]).toEqual([...packet.subarray(headers)])
  })

  test('other protocols are left alone', () => {
    const packet = buildPacket(shape(version, TCP, 50))
    packet[version === 4 ? 9 : 6] = 132
    expect([...carried(packet).subarray(headers)]).toEqual([...packet.subarray(headers)])
  })
})
