import { expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { plainSlab } from '../../../src/bytes/slab.js'
import { FRAGMENT, OVERSIZE_ROOM, Oversize } from '../../../src/dataplane/oversize.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { IpPacket } from '../../../src/wire/ip-packet.js'
import { ipv4ChecksumHolds } from '../../../src/wire/ipv4.js'

const OWN = 1_024
const AT = OWN + OVERSIZE_ROOM

function scene() {
  const slab = plainSlab(80_000)
  const told: Buffer[] = []
  const oversize = new Oversize(slab, OWN, (at, length) =>
    told.push(Buffer.from(slab.bytes.slice(at, at + length))),
  )
  const p = new IpPacket()
  const judge = (packet: Uint8Array, mtu: number, segment = 0, whole = false): number => {
    slab.bytes.set(packet, AT)
    expect(p.parse(slab.bytes, AT, packet.length)).toBe(true)
    return oversize.judge(AT, p, mtu, segment, whole)
  }
  return { oversize, told, judge }
}

function v4(length: number, protocol = 17, fragment = 0x4000): Buffer {
  const b = Buffer.alloc(length, 0x77)
  b.set([0x45, 0, length >>> 8, length & 0xff, 0, 1, fragment >>> 8, fragment & 0xff, 64, protocol, 0, 0])
  b.set([10, 1, 0, 1, 10, 2, 0, 1], 12)
  if (protocol === 6) b[32] = 0x50
  return b
}
function v6(length: number, next = 17): Buffer {
  const b = Buffer.alloc(length, 0x77)
  b.set([0x60, 0, 0, 0, (length - 40) >>> 8, (length - 40) & 0xff, next, 64])
  for (let i = 8; i < 40; i++) b[i] = i
  if (next === 6) b[52] = 0x50
  return b
}

test('what fits goes on', () => {
  const { judge, told } = scene()
  expect(judge(v4(1400), 1400)).toBe(0)
  expect(judge(v4(9000, 6), 1400, 1360)).toBe(1360)
  expect(judge(v6(1280), 900)).toBe(0)
  expect(told).toEqual([])
})

test('IPv4 without DF is cut, nobody is told', () => {
  const { judge, told } = scene()
  expect(judge(v4(1401, 17, 0), 1400)).toBe(FRAGMENT)
  expect(judge(v4(1401, 17, 0x2010), 1400)).toBe(FRAGMENT)
  expect(told).toEqual([])
})

test('IPv4 with DF: the sender is told, from where the packet went to', () => {
  const { judge, told } = scene()
  const packet = v4(1401)
  expect(judge(packet, 1400)).toBe(DROP.TOO_BIG)
  const [message] = told
  expect(message!.length).toBe(576)
  expect(ipv4ChecksumHolds(message!, 0)).toBe(true)
  expect([...message!.subarray(12, 20)]).toEqual([10, 2, 0, 1, 10, 1, 0, 1])
  expect(message![9]).toBe(1)
  expect(onesComplementSum(message!, 20, 556, 0)).toBe(0xffff)
  expect([...message!.subarray(20, 22)]).toEqual([3, 4])
  expect(message!.readUInt16BE(26)).toBe(1400)
  expect(message!.subarray(28)).toEqual(packet.subarray(0, 548))
})

test('IPv6: the sender is told, and never less than 1280', () => {
  const { judge, told } = scene()
  const packet = v6(1501)
  expect(judge(packet, 1400)).toBe(DROP.TOO_BIG)
  expect(judge(v6(1281), 900)).toBe(DROP.TOO_BIG)
  const [message, small] = told
  expect(message!.length).toBe(1280)
  expect([...message!.subarray(8, 40)]).toEqual([...packet.subarray(24, 40), ...packet.subarray(8, 24)])
  const pseudo = onesComplementSum(message!, 8, 32, 1240 + 58)
  expect(onesComplementSum(message!, 40, 1240, pseudo)).toBe(0xffff)
  expect([message![40], message!.readUInt32BE(44)]).toEqual([2, 1400])
  expect(small!.readUInt32BE(44)).toBe(1280)
})

test('a large TCP packet is cut smaller, and its sender told; UDP keeps its boundaries', () => {
  const { judge, told } = scene()
  expect(judge(v4(9000, 6), 1300, 1400)).toBe(1260)
  expect(judge(v6(9000, 6), 1300, 1400)).toBe(1240)
  expect(told).toHaveLength(2)
  expect(judge(v4(9000, 17), 1300, 1400)).toBe(DROP.TOO_BIG)
  expect(told).toHaveLength(3)
})

test('no error about an error, or about a later fragment', () => {
  const { judge, told } = scene()
  const icmp = v4(1401, 1)
  icmp[20] = 3
  expect(judge(icmp, 1400)).toBe(DROP.TOO_BIG)
  const icmp6 = v6(1401, 58)
  icmp6[40] = 1
  expect(judge(icmp6, 1300)).toBe(DROP.TOO_BIG)
  expect(judge(v4(1401, 17, 0x4010), 1400)).toBe(DROP.TOO_BIG)
  expect(told).toEqual([])
  icmp[20] = 8
  judge(icmp, 1400)
  expect(told).toHaveLength(1)
})

test('where only whole packets go, what may be cut is cut later', () => {
  const { judge, told } = scene()
  expect(judge(v4(1401, 17, 0), 1400, 0, true)).toBe(0)
  expect(judge(v4(1401), 1400, 0, true)).toBe(DROP.TOO_BIG)
  expect(judge(v6(1281), 1200, 0, true)).toBe(DROP.TOO_BIG)
  expect(told).toHaveLength(2)
})

test('no error to or about many: it would come from an address that nobody has', () => {
  const { judge, told } = scene()
  const with4 = (at: number, address: number[]): Buffer => {
    const b = v4(1401)
    b.set(address, at)
    return b
  }
  for (const address of [
    [224, 0, 0, 5],
    [255, 255, 255, 255],
    [0, 0, 0, 0],
    [240, 1, 1, 1],
  ]) {
    expect(judge(with4(12, address), 1400)).toBe(DROP.TOO_BIG)
    expect(judge(with4(16, address), 1400)).toBe(DROP.TOO_BIG)
  }
  expect(judge(with4(12, [127, 0, 0, 1]), 1400)).toBe(DROP.TOO_BIG)
  const group = v6(1401)
  group[24] = 0xff
  expect(judge(group, 1300)).toBe(DROP.TOO_BIG)
  const unspecified = v6(1401)
  unspecified.fill(0, 8, 24)
  expect(judge(unspecified, 1300)).toBe(DROP.TOO_BIG)
  // An error behind an extension header is one, too.
  const hidden = v6(1401, 60)
  hidden.set([58, 0, 1, 4, 0, 0, 0, 0, 1], 40)
  expect(judge(hidden, 1300)).toBe(DROP.TOO_BIG)
  expect(told).toEqual([])
})

test('messages are bounded', () => {
  const { judge, told, oversize } = scene()
  for (let i = 0; i < 100; i++) judge(v4(1401), 1400)
  expect(told).toHaveLength(32)
  oversize.refill()
  judge(v4(1401), 1400)
  expect(told).toHaveLength(33)
})
