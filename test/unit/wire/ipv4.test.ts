import { describe, expect, test } from 'vitest'
import { fold, onesComplementSum, updateChecksum } from '../../../src/bytes/checksum.js'
import {
  ipv4ChecksumHolds,
  ipv4IsFragment,
  setIpv4LengthAndProtocol,
  setIpv4Tos,
  writeIpv4Checksum,
} from '../../../src/wire/ipv4.js'
import { slowSum } from '../../reference/tcp-packets.js'

// RFC 1071 section 3 gives the sum of these eight octets.
test('the example of RFC 1071', () => {
  const b = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
  expect(onesComplementSum(b, 0, 8, 0)).toBe(0xddf2)
})

test('odd lengths are padded by zero, offsets and seeds count', () => {
  const b = Uint8Array.from({ length: 40 }, (_, i) => (i * 97 + 13) & 0xff)
  for (let at = 0; at < 4; at++)
    for (let n = 0; n < 30; n++)
      expect(onesComplementSum(b, at, n, 0x1_2345)).toBe(
        fold(slowSum([...b.subarray(at, at + n)]) + 0x1_2345),
      )
})

test('fold keeps zero zero and everything else above it', () => {
  expect(fold(0)).toBe(0)
  for (const n of [1, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 2 ** 40 - 1, 2 ** 47]) {
    expect(fold(n)).toBe(n % 0xffff === 0 ? 0xffff : n % 0xffff)
  }
})

// RFC 1624 section 4: the case that equation 2 gets wrong.
test('the example of RFC 1624', () => expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000))

describe('header changes keep the checksum right', () => {
  const header = (): Buffer => {
    const h = Buffer.from('45b8003d1234400040110000c0000201c6336402', 'hex')
    writeIpv4Checksum(h, 0)
    return h
  }

  test('written', () => {
    expect(header().readUInt16BE(10)).toBe(0x3b8d)
    expect(ipv4ChecksumHolds(header(), 0)).toBe(true)
  })

  test('TOS', () => {
    for (let tos = 0; tos < 256; tos++) {
      const h = header()
      setIpv4Tos(h, 0, tos)
      expect(h[1]).toBe(tos)
      expect(ipv4ChecksumHolds(h, 0)).toBe(true)
    }
  })

  test('length and protocol', () => {
    for (const [length, protocol] of [
      [20, 0],
      [65535, 255],
      [1500, 50],
      [61, 17],
    ] as const) {
      const h = header()
      setIpv4LengthAndProtocol(h, 0, length, protocol)
      expect([h.readUInt16BE(2), h[9]]).toEqual([length, protocol])
      expect(ipv4ChecksumHolds(h, 0)).toBe(true)
    }
  })

  test('options are covered', () => {
    const h = Buffer.concat([header(), Buffer.of(148, 4, 0, 0)])
    h[0] = 0x46
    writeIpv4Checksum(h, 0)
    expect(slowSum([...h])).toBe(0xffff)
    h[22] = 1
    expect(ipv4ChecksumHolds(h, 0)).toBe(false)
  })
})

test('fragments: the first, a later one, and DF which is none', () => {
  const h = Buffer.alloc(20)
  for (const [word, is] of [
    [0x0000, false],
    [0x4000, false],
    [0x2000, true],
    [0x0001, true],
    [0x2010, true],
  ] as const) {
    h.writeUInt16BE(word, 6)
    expect(ipv4IsFragment(h, 0)).toBe(is)
  }
})
