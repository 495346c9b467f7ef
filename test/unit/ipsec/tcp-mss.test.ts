import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { clampMss } from '../../../src/ipsec/tcp-mss.js'
import { IpPacket } from '../../../src/wire/ip-packet.js'

/** A TCP packet with these options (padded with NOPs) and a right checksum. */
function tcpPacket(options: readonly number[], flags = 0x02, version: 4 | 6 = 4, payload = 0): Uint8Array {
  const padded = [...options, ...new Array<number>(-options.length & 3).fill(1)]
  const ip = version === 4 ? 20 : 40
  const tcpLength = 20 + padded.length + payload
  const b = new Uint8Array(ip + tcpLength)
  const v = new DataView(b.buffer)
  if (version === 4) {
    v.setUint16(0, 0x4500)
    v.setUint16(2, b.length)
    b[9] = 6
  } else {
    b[0] = 0x60
    v.setUint16(4, tcpLength)
    b[6] = 6
  }
  for (let i = version === 4 ? 12 : 8; i < ip; i++) b[i] = i * 3
  v.setUint16(ip, 40_000)
  v.setUint16(ip + 2, 5201)
  b[ip + 12] = ((20 + padded.length) / 4) << 4
  b[ip + 13] = flags
  b.set(padded, ip + 20)
  v.setUint16(ip + 16, ~sum(b, ip) & 0xffff)
  return b
}

function sum(b: Uint8Array, ip: number): number {
  const addresses = ip === 20 ? 8 : 32
  const length = b.length - ip
  return onesComplementSum(b, ip, length, onesComplementSum(b, ip - addresses, addresses, 6 + length))
}

function clamp(b: Uint8Array, limit: number): boolean {
  const p = new IpPacket()
  expect(p.parse(b, 0, b.length)).toBe(true)
  return clampMss(b, 0, p, limit)
}
const mss = (value: number): number[] => [2, 4, value >>> 8, value & 0xff]

describe('MSS', () => {
  test.each<[string, number[], 4 | 6, number, number | undefined]>([
    ['too large', mss(1460), 4, 1380, 1380],
    ['too large, IPv6', mss(1440), 6, 1360, 1360],
    ['small enough', mss(1380), 4, 1380, undefined],
    ['smaller', mss(1000), 4, 1380, undefined],
    ['behind other options', [4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, ...mss(1460)], 4, 1300, 1300],
    ['at an odd place', [1, ...mss(1460)], 4, 1300, 1300],
    ['of a very narrow path', mss(1460), 4, 440, 440],
    ['below what anybody takes', mss(1460), 4, 10, 88],
    ['no limit', mss(1460), 4, 0, undefined],
  ])('%s', (_, options, version, limit, expected) => {
    const b = tcpPacket(options, 0x02, version)
    const before = Buffer.from(b)
    expect(clamp(b, limit)).toBe(expected !== undefined)
    const ip = version === 4 ? 20 : 40
    expect(sum(b, ip)).toBe(0xffff)
    if (expected === undefined) expect(Buffer.from(b)).toEqual(before)
    else expect(Buffer.from(b)).toEqual(Buffer.from(tcpPacket(replaced(options, expected), 0x02, version)))
  })

  test('of SYN and SYN ACK alone', () => {
    expect(clamp(tcpPacket(mss(1460), 0x12), 1300)).toBe(true)
    for (const flags of [0x10, 0x18, 0x11, 0x04]) expect(clamp(tcpPacket(mss(1460), flags), 1300)).toBe(false)
  })

  test.each<[string, number[]]>([
    ['an option of length zero', [3, 0, ...mss(1460)]],
    ['an option of length one', [3, 1, ...mss(1460)]],
    ['an option beyond the header', [3, 40, ...mss(1460)]],
    ['an MSS of another length', [2, 3, 5]],
    ['an MSS behind the end of the list', [0, 1, 1, 1, ...mss(1460)]],
    ['a kind without a length', [1, 1, 1, 3]],
  ])('%s is left alone', (_, options) => {
    const b = tcpPacket(options)
    const before = Buffer.from(b)
    expect(clamp(b, 1300)).toBe(false)
    expect(Buffer.from(b)).toEqual(before)
  })

  test('whatever the options are: nothing but MSS and checksum changes, and the checksum stays as right as it was', () => {
    const options = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 40 })
    fc.assert(
      fc.property(options, fc.integer({ min: 0, max: 65_535 }), fc.boolean(), (o, limit, six) => {
        const b = tcpPacket(o, 0x02, six ? 6 : 4, 3)
        const before = Buffer.from(b)
        const changed = clamp(b, limit)
        const ip = six ? 40 : 20
        expect(sum(b, ip)).toBe(0xffff)
        const differs = [...b.keys()].filter((i) => b[i] !== before[i] && i !== ip + 16 && i !== ip + 17)
        expect(differs.length > 0).toBe(changed)
        expect(differs.length).toBeLessThanOrEqual(2)
      }),
    )
  })
})

function replaced(options: readonly number[], value: number): number[] {
  const at = options.findIndex((o, i) => o === 2 && options[i + 1] === 4 && i + 4 <= options.length)
  return [...options.slice(0, at), ...mss(value), ...options.slice(at + 4)]
}
