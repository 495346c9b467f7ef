import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { espHeaderRoom, espLength, openEsp, sealEsp } from '../../../src/ipsec/esp.js'
import { createInboundSa, createOutboundSa } from '../../../src/ipsec/sa.js'
import { espTwinIv, espTwinPlain } from '../../reference/ipsec-twin.js'
import {
  DST,
  engines,
  get,
  mirrored,
  put,
  SLAB_LEN,
  SRC,
  SUITES,
  saSpec,
  udpPacket,
  verdict,
} from './fixtures.js'

const suites = Object.keys(SUITES).filter((s) => !s.startsWith('ah'))

function ends(suite: string, esn = true) {
  const spec = saSpec(suite, { esn })
  const slab = plainSlab(SLAB_LEN)
  return {
    spec,
    slab,
    out: createOutboundSa(spec, engines, slab, { nowMs: 0 }),
    in: createInboundSa(mirrored(spec), engines, slab, { nowMs: 0 }),
  }
}

describe.each(suites)('%s', (suite) => {
  test('alignment, padding 1, 2, 3 ... and length', () => {
    const { spec, slab, out } = ends(suite)
    const block = spec.encryption!.id === 12 ? 16 : 4
    for (let n = 0; n < 40; n++) {
      put(slab, SRC, Buffer.alloc(n, 7))
      const length = sealEsp(out, slab, SRC, n, DST, 4)
      expect(length).toBe(espLength(out.esp!, n))
      const plain = espTwinPlain(spec, get(slab, DST, length))!
      expect(plain.length % block).toBe(0)
      const padding = plain[plain.length - 2]!
      expect(padding).toBeLessThan(block)
      expect(plain.length).toBe(n + padding + 2)
      expect([...plain.subarray(n, n + padding)]).toEqual(Array.from({ length: padding }, (_, i) => i + 1))
      expect(plain[plain.length - 1]).toBe(4)
    }
  })

  test('TFC padding stands between payload and padding, and the source is not touched', () => {
    const { spec, slab, out, in: receiver } = ends(suite)
    const packet = udpPacket('10.1.0.1', '10.2.0.1', 5)
    for (const tfc of [1, 50, 1000]) {
      put(slab, SRC, packet)
      const length = sealEsp(out, slab, SRC, packet.length, DST, 4, tfc)
      expect(length).toBe(espLength(out.esp!, packet.length + tfc))
      expect(get(slab, SRC, packet.length + 200)).toEqual(Buffer.concat([packet, Buffer.alloc(200, 0xa5)]))
      const plain = espTwinPlain(spec, get(slab, DST, length))!
      expect(plain.subarray(packet.length, packet.length + tfc)).toEqual(Buffer.alloc(tfc))
      expect(openEsp(receiver, slab, DST, length, DST + espHeaderRoom(receiver.esp!))).toBe(
        packet.length + tfc,
      )
      expect(get(slab, DST + espHeaderRoom(out.esp!), packet.length)).toEqual(packet)
    }
  })

  test('the high half of the number is in the ICV and not on the wire', () => {
    const { slab, out, in: receiver } = ends(suite)
    out.skipTo(0, 0xffff_ffff)
    put(slab, SRC, Buffer.alloc(40))
    const length = sealEsp(out, slab, SRC, 40, DST, 4)
    expect(get(slab, DST, 8).toString('hex')).toBe('0badcafe00000000')
    const packet = get(slab, DST, length)
    // A receiver that is still in the first high half cannot take it for number 0.
    expect(verdict(openEsp(receiver, slab, DST, length, DST + espHeaderRoom(receiver.esp!)))).toBe('REPLAYED')
    receiver.replay.startAt(0, 0xffff_fff0)
    put(slab, DST, packet)
    expect(openEsp(receiver, slab, DST, length, DST + espHeaderRoom(receiver.esp!))).toBe(40)
    expect([receiver.replay.topHigh, receiver.replay.topLow]).toEqual([1, 0])
  })

  test('without ESN the numbers are the same on both ends from 1 on', () => {
    const { slab, out, in: receiver } = ends(suite, false)
    for (let i = 1; i < 5; i++) {
      const length = sealEsp(out, slab, SRC, 10, DST, 4)
      expect(out.sequenceLow).toBe(i)
      expect(openEsp(receiver, slab, DST, length, DST + espHeaderRoom(receiver.esp!))).toBe(10)
      expect(receiver.use.cells[3]).toBe(i)
    }
  })
})

test('IVs of a counter mode are the sequence number: unique under the key', () => {
  for (const suite of ['aes128gcm16', 'chacha20poly1305', 'aes128ccm8', 'aes128ctr-sha256', 'aes128gmac']) {
    const { spec, slab, out } = ends(suite)
    out.skipTo(9, 0xffff_ffff)
    const length = sealEsp(out, slab, SRC, 10, DST, 4)
    expect(espTwinIv(spec, get(slab, DST, length)).toString('hex')).toBe('0000000a00000000')
  }
})

test('AES-GMAC leaves what stands in front of the packet, sent and received', () => {
  const { slab, out, in: receiver } = ends('aes128gmac')
  slab.bytes.fill(0x77, DST - 64, DST)
  const length = sealEsp(out, slab, SRC, 10, DST, 4)
  expect(openEsp(receiver, slab, DST, length, DST + espHeaderRoom(receiver.esp!))).toBe(10)
  expect(get(slab, DST - 64, 64)).toEqual(Buffer.alloc(64, 0x77))
  expect(get(slab, DST, 4).toString('hex')).toBe('0badcafe')
})

describe('IVs of CBC', () => {
  const ivs = (salt: Uint8Array | undefined, count: number): string[] => {
    const spec = saSpec('aes128-sha256')
    const slab = plainSlab(SLAB_LEN)
    const out = createOutboundSa(spec, engines, slab, { nowMs: 0, ...(salt && { ivSalt: salt }) })
    return Array.from({ length: count }, () => {
      const length = sealEsp(out, slab, SRC, 10, DST, 4)
      return espTwinIv(spec, get(slab, DST, length)).toString('hex')
    })
  }

  test('do not repeat and do not count', () => {
    const seen = ivs(undefined, 300)
    expect(new Set(seen).size).toBe(300)
    // An IV that could be foretold would share its first octets with the one before.
    for (let i = 1; i < seen.length; i++) expect(seen[i]!.slice(0, 8)).not.toBe(seen[i - 1]!.slice(0, 8))
  })

  test('with a fresh salt the same key does not repeat those of its first life', () => {
    const first = ivs(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 50)
    const second = ivs(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 9), 50)
    expect(new Set([...first, ...second]).size).toBe(100)
    expect(() => ivs(new Uint8Array(7), 1)).toThrow(/IV salt/)
  })
})
