import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { parseIp } from '../../../src/wire/ip-address.js'
import { unreachableV4, unreachableV6 } from '../../../src/wire/unreachable.js'

const LOCAL = parseIp('192.0.2.1')!
const REMOTE = parseIp('192.0.2.2')!
const ROUTER = parseIp('198.51.100.7')!

interface Message {
  readonly code?: number
  readonly protocol?: number
  readonly port?: number
  readonly quotedSource?: Uint8Array
}

/** What a raw socket gives: IPv4 header, ICMP header, and of our packet its header and eight octets. */
function icmp({ code = 3, protocol = 17, port = 500, quotedSource = LOCAL }: Message = {}): Uint8Array {
  const b = new Uint8Array(20 + 8 + 20 + 8)
  b[0] = 0x45
  b.set(ROUTER, 12)
  b.set(LOCAL, 16)
  b.set([3, code], 20)
  b[28] = 0x45
  b[28 + 9] = protocol
  b.set(quotedSource, 28 + 12)
  b.set(REMOTE, 28 + 16)
  b.set([500 >> 8, 500 & 0xff, port >> 8, port & 0xff], 48)
  const sum = ~onesComplementSum(b, 20, b.length - 20, 0) & 0xffff
  b.set([sum >> 8, sum & 0xff], 22)
  return b
}

/** What a raw socket gives of ICMPv6: from its header on. */
function icmpv6(type: number, code: number, nextHeader: number): Uint8Array {
  const b = new Uint8Array(8 + 40 + 8)
  b.set([type, code])
  b[8] = 0x60
  b[8 + 6] = nextHeader
  b.set(parseIp('2001:db8::1')!, 8 + 8)
  b.set(parseIp('2001:db8::2')!, 8 + 24)
  b.set([4500 >> 8, 4500 & 0xff, 4500 >> 8, 4500 & 0xff], 48)
  return b
}

const read = (b: Uint8Array) => unreachableV4(b, 0, b.length)

describe('ICMP', () => {
  test.each([
    [0, 'host'],
    [1, 'host'],
    [2, 'protocol'],
    [3, 'port'],
    [10, 'filtered'],
    [13, 'filtered'],
  ] as const)('code %i is %s', (code, reason) => {
    expect(read(icmp({ code }))).toEqual({ remote: REMOTE, protocol: 17, port: 500, reason })
  })

  test('ESP and AH have no port', () => {
    expect(read(icmp({ protocol: 50 }))).toMatchObject({ protocol: 50, port: 0 })
    expect(read(icmp({ protocol: 51 }))).toMatchObject({ protocol: 51, port: 0 })
  })

  test('at an offset, with octets behind it', () => {
    const b = icmp({ port: 4500 })
    const slab = new Uint8Array(200).fill(0xaa)
    slab.set(b, 33)
    expect(unreachableV4(slab, 33, b.length)).toMatchObject({ port: 4500 })
  })

  test('fragmentation needed, other types, other protocols, a wrong checksum and others’ packets are none', () => {
    expect(read(icmp({ code: 4 }))).toBeUndefined()
    expect(read(icmp({ protocol: 6 }))).toBeUndefined()
    expect(read(icmp({ quotedSource: ROUTER }))).toBeUndefined()
    for (const at of [20, 22, 50]) {
      const b = icmp()
      b[at]! ^= 1
      expect(read(b)).toBeUndefined()
    }
  })

  test('of any length it reads nothing behind the end', () => {
    const b = icmp()
    for (let n = 0; n < b.length - 4; n++) expect(unreachableV4(b, 0, n)).toBeUndefined()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => {
        read(octets)
        unreachableV6(octets, 0, octets.length)
      }),
    )
  })
})

describe('ICMPv6', () => {
  const remote = parseIp('2001:db8::2')!
  test.each([
    [1, 4, 17, { remote, protocol: 17, port: 4500, reason: 'port' }],
    [1, 1, 17, { remote, protocol: 17, port: 4500, reason: 'filtered' }],
    [1, 3, 50, { remote, protocol: 50, port: 0, reason: 'host' }],
    [4, 1, 50, { remote, protocol: 50, port: 0, reason: 'protocol' }],
    [4, 0, 50, undefined],
    [2, 0, 17, undefined],
    [1, 4, 6, undefined],
  ] as const)('type %i code %i about protocol %i', (type, code, next, expected) => {
    const b = icmpv6(type, code, next)
    expect(unreachableV6(b, 0, b.length)).toEqual(expected)
  })
})
