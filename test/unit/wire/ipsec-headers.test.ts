import { describe, expect, test } from 'vitest'
import { ahHeaderLength, ahLength, ahNextHeader, ahSequence, ahSpi } from '../../../src/wire/ah.js'
import { espSequence, espSpi } from '../../../src/wire/esp.js'
import {
  NATT,
  nattKind,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  writeUdpHeader,
} from '../../../src/wire/udp.js'
import {
  VNET_GSO_TCPV6,
  VNET_HDR_LEN,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetGsoSize,
  vnetGsoType,
  vnetHeaderLength,
  vnetNeedsChecksum,
  writePlainVnetHeader,
  writeVnetHeader,
} from '../../../src/wire/virtio-net-hdr.js'

test('ESP: numbers are unsigned', () => {
  const b = Buffer.from('00ffffffff80000001', 'hex')
  expect(espSpi(b, 1)).toBe(0xffff_ffff)
  expect(espSequence(b, 1)).toBe(0x8000_0001)
})

test('AH fields', () => {
  const b = Buffer.from('1105000089abcdeffedcba98', 'hex')
  expect(ahNextHeader(b, 0)).toBe(17)
  expect(ahLength(b, 0)).toBe(28)
  expect(ahSpi(b, 0)).toBe(0x89ab_cdef)
  expect(ahSequence(b, 0)).toBe(0xfedc_ba98)
})

// RFC 4302 section 2.2: with a 96-bit ICV the header is 24 octets under IPv4; under IPv6 it is padded to a multiple of 8.
test.each([
  [12, 24, 24],
  [16, 28, 32],
  [24, 36, 40],
  [32, 44, 48],
])('AH with an ICV of %i octets', (icv, v4, v6) => {
  expect(ahHeaderLength(icv, 4)).toBe(v4)
  expect(ahHeaderLength(icv, 6)).toBe(v6)
})

test('UDP header', () => {
  const b = new Uint8Array(10)
  writeUdpHeader(b, 1, 4500, 65535, 300, 0xabcd)
  expect([udpSourcePort(b, 1), udpDestinationPort(b, 1), udpLength(b, 1), udpChecksum(b, 1)]).toEqual([
    4500, 65535, 300, 0xabcd,
  ])
})

describe('what a datagram on port 4500 is', () => {
  test.each([
    ['ff', NATT.KEEPALIVE],
    ['00000000aa', NATT.IKE],
    ['00000000', NATT.IKE],
    ['00000100aa', NATT.ESP],
    ['ffffffff', NATT.ESP],
    ['', NATT.RUNT],
    ['000000', NATT.RUNT],
    ['fe', NATT.RUNT],
  ])('%s', (text, kind) => {
    const b = Buffer.from(text, 'hex')
    expect(nattKind(b, 0, b.length)).toBe(kind)
  })
})

test('virtio_net_hdr is little-endian', () => {
  const b = new Uint8Array(VNET_HDR_LEN + 2).fill(0xee)
  writeVnetHeader(b, 1, VNET_GSO_TCPV6, 74, 1428, 40, 16)
  expect(Buffer.from(b).toString('hex')).toBe('ee01044a00940528001000ee')
  expect(vnetNeedsChecksum(b, 1)).toBe(true)
  expect([
    vnetGsoType(b, 1),
    vnetHeaderLength(b, 1),
    vnetGsoSize(b, 1),
    vnetChecksumStart(b, 1),
    vnetChecksumOffset(b, 1),
  ]).toEqual([4, 74, 1428, 40, 16])
  b[2] = 0x84 // with ECN
  expect(vnetGsoType(b, 1)).toBe(4)
  writePlainVnetHeader(b, 1)
  expect(Buffer.from(b).toString('hex')).toBe('ee00000000000000000000ee')
})
