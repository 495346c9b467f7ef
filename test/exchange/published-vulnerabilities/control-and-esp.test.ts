import { describe, expect, test } from 'vitest'
import { emitPacket, PACKET, PacketSplitter, parsePacket } from '../../../src/daemon/control/vici-packet.js'
import { WireError } from '../../../src/errors.js'
import { DST, pair, put, SUITES, saSpec, verdict } from '../../unit/ipsec/fixtures.js'

// One test for each class of fault that published vulnerabilities of strongSwan, libreswan, Openswan and FreeS/WAN had, as
// far as it could exist here. The numbers say where the class is from; what is done is this program's own protocol.

describe('control socket', () => {
  test('CVE-2018-5388: lengths that are smaller or larger than what they count', () => {
    const good = emitPacket(PACKET.CMD_REQUEST, 'initiate', { ike: 'b', child: 'm' })
    for (let at = 4; at < good.length; at++)
      for (const value of [0, 1, 0x7f, 0xff]) {
        const packet = good.slice(4)
        packet[at - 4] = value
        try {
          parsePacket(packet)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
    for (const length of [0, 512 * 1024 + 1, 0xffff_fff0, 0xffff_ffff]) {
      const stream = good.slice()
      new DataView(stream.buffer).setUint32(0, length)
      expect(() => [...new PacketSplitter().push(stream)]).toThrow(WireError)
    }
  })
})

describe('ESP and AH', () => {
  test.each(Object.keys(SUITES))(
    'CVE-2002-0666: packets of %s that are shorter than what they must hold',
    (suite) => {
      const p = pair(saSpec(suite))
      const protocol = SUITES[suite]!.protocol === 'esp' ? 50 : 51
      for (let n = 0; n <= 64; n++) {
        const packet = new Uint8Array(20 + n)
        packet.set([0x45, 0, 0, 20 + n, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2])
        const spi = Uint8Array.of(0x0b, 0xad, 0xca, 0xfe).subarray(
          0,
          Math.max(0, n - (protocol === 51 ? 4 : 0)),
        )
        packet.set(spi, protocol === 51 ? Math.min(packet.length - spi.length, 24) : 20)
        put(p.slab, DST, packet)
        const code = p.inbound.openIpv4(DST, packet.length)
        expect(['MALFORMED_OUTER', 'UNKNOWN_SPI', 'BAD_LENGTH', 'BAD_ICV', 'TOO_OLD', 'REPLAYED']).toContain(
          verdict(code),
        )
        expect([p.in.replay.topHigh, p.in.replay.topLow]).toEqual([0, 0])
      }
    },
  )
})
