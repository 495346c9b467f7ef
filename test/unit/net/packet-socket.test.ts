import { afterEach, describe, expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { InternalError } from '../../../src/errors.js'
import { ENOBUFS } from '../../../src/ffi/errno.js'
import { closeFd } from '../../../src/net/fd.js'
import { type OpenUdpSocket, openUdpSocket, type UdpSocketOptions } from '../../../src/net/open-socket.js'
import { DESTINATIONS_MAX } from '../../../src/net/types.js'
import { parseIp } from '../../../src/wire/ip-address.js'
import { pattern, rxBatch, Station, txBatch } from './batches.js'

const LOOPBACK = { 4: parseIp('127.0.0.1')!, 6: parseIp('::1')! }
const opened: number[] = []
afterEach(() => {
  for (const fd of opened.splice(0)) closeFd(fd)
})

interface End extends OpenUdpSocket {
  readonly station: Station
}

function end(family: 4 | 6, options: Partial<UdpSocketOptions> = {}, slots = 8, room = 2048): End {
  const socket = openUdpSocket({ local: LOOPBACK[family], port: 0, ...options })
  opened.push(socket.fd)
  return { ...socket, station: new Station(socket.fd, family, 'udp', slots, room) }
}

describe.each([4, 6] as const)('UDP over IPv%i', (family) => {
  test('a batch keeps order, lengths, octets and source', () => {
    const a = end(family)
    const b = end(family)
    const to = a.station.socket.destination(LOOPBACK[family], b.port)
    const sent = [pattern(1, 1), pattern(1400, 2), pattern(333, 3), pattern(2048, 4), pattern(8, 5)]
    for (const [i, octets] of sent.entries()) a.station.put(i, octets, to)
    expect(a.station.socket.send(a.station.tx, 0, sent.length)).toBe(sent.length)

    expect(b.station.receive()).toBe(sent.length)
    for (const [i, octets] of sent.entries()) {
      expect(b.station.octets(i)).toEqual(octets)
      expect(b.station.sourceOf(i)).toEqual(LOOPBACK[family])
      expect(b.station.rx.sourcePort[i]).toBe(a.port)
      expect(b.station.rx.segment[i]).toBe(0)
    }
    expect(b.station.socket.receive(b.station.rx)).toBe(0)
  })

  test('a batch can be sent from the middle, and slots are used again', () => {
    const a = end(family)
    const b = end(family, {}, 4)
    const to = a.station.socket.destination(LOOPBACK[family], b.port)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 6; i++) a.station.put(i, pattern(100 + i, round * 10 + i), to)
      expect(a.station.socket.send(a.station.tx, 2, 4)).toBe(4)
      expect(b.station.receive()).toBe(4)
      for (let i = 0; i < 4; i++) expect(b.station.octets(i)).toEqual(pattern(102 + i, round * 10 + i + 2))
    }
  })

  test('TOS travels with each packet, together with UDP_SEGMENT and without', () => {
    const a = end(family)
    const b = end(family)
    const to = a.station.socket.destination(LOOPBACK[family], b.port)
    a.station.put(0, pattern(50, 0), to, { tos: 0xb8 })
    a.station.put(1, pattern(50, 1), to)
    a.station.put(2, pattern(120, 2), to, { tos: 0x03, segment: 60 })
    a.station.put(3, pattern(50, 3), to, { tos: 0x02 })
    expect(a.station.socket.send(a.station.tx, 0, 4)).toBe(4)
    expect(b.station.receive()).toBe(5)
    expect([...b.station.rx.tos.subarray(0, 5)]).toEqual([0xb8, 0, 0x03, 0x03, 0x02])
    // The same entries with other shapes: nothing of the batch before is left over.
    for (let i = 0; i < 4; i++) a.station.put(i, pattern(40, i), to, i === 1 ? { tos: 0x28 } : {})
    expect(a.station.socket.send(a.station.tx, 0, 4)).toBe(4)
    expect(b.station.receive()).toBe(4)
    expect([...b.station.rx.tos.subarray(0, 4)]).toEqual([0, 0x28, 0, 0])
    expect([...b.station.rx.length.subarray(0, 4)]).toEqual([40, 40, 40, 40])
  })

  test('UDP_SEGMENT cuts, and UDP_GRO joins again', () => {
    const a = end(family)
    const cut = end(family)
    const joined = end(family, { gro: true }, 8, 65_536 / 2)
    expect(a.gso).toBe(true)
    expect(joined.gro).toBe(true)
    const octets = pattern(1000 * 3 + 400, 9)
    a.station.put(0, octets, a.station.socket.destination(LOOPBACK[family], cut.port), { segment: 1000 })
    a.station.put(1, octets, a.station.socket.destination(LOOPBACK[family], joined.port), { segment: 1000 })
    expect(a.station.socket.send(a.station.tx, 0, 2)).toBe(2)

    expect(cut.station.receive()).toBe(4)
    expect([...cut.station.rx.length.subarray(0, 4)]).toEqual([1000, 1000, 1000, 400])
    expect([...cut.station.rx.segment.subarray(0, 4)]).toEqual([0, 0, 0, 0])
    expect(cut.station.octets(3)).toEqual(octets.slice(3000))

    expect(joined.station.receive()).toBe(1)
    expect(joined.station.rx.segment[0]).toBe(1000)
    expect(joined.station.octets(0)).toEqual(octets)
  })

  test('a datagram longer than its slot has length 0 and is counted, its neighbours are whole', () => {
    const a = end(family)
    const b = end(family, {}, 4, 512)
    const to = a.station.socket.destination(LOOPBACK[family], b.port)
    for (const [i, n] of [512, 513, 40].entries()) a.station.put(i, pattern(n, i), to)
    expect(a.station.socket.send(a.station.tx, 0, 3)).toBe(3)
    expect(b.station.receive()).toBe(3)
    expect([...b.station.rx.length.subarray(0, 3)]).toEqual([512, 0, 40])
    expect(b.station.socket.truncated).toBe(1)
    expect(b.station.octets(2)).toEqual(pattern(40, 2))
  })
})

test('a zero UDP checksum can be asked for over IPv4, and then segmentation is not offered', () => {
  const a = end(4, { checksum: false })
  const b = end(4)
  expect(a.gso).toBe(false)
  a.station.put(0, pattern(64, 1), a.station.socket.destination(LOOPBACK[4], b.port))
  expect(a.station.socket.send(a.station.tx, 0, 1)).toBe(1)
  expect(b.station.receive()).toBe(1)
})

test('a failing message ends the batch, and the next call says why', () => {
  const a = end(4, { df: 'set' })
  const b = end(4)
  const to = a.station.socket.destination(LOOPBACK[4], b.port)
  a.station.put(0, pattern(10, 0), to)
  a.station.put(1, pattern(10, 1), a.station.socket.destination(parseIp('255.255.255.255')!, 9))
  a.station.put(2, pattern(10, 2), to)
  expect(a.station.socket.send(a.station.tx, 0, 3)).toBe(1)
  expect(a.station.socket.send(a.station.tx, 1, 2)).toBeLessThan(0)
  expect(a.station.socket.send(a.station.tx, 2, 1)).toBe(1)
})

test('destinations are told apart by address and port, and are bounded', () => {
  const { socket } = end(4).station
  expect(socket.destination(parseIp('192.0.2.1')!, 4500)).toBe(0)
  expect(socket.destination(parseIp('192.0.2.1')!, 4501)).toBe(1)
  expect(socket.destination(parseIp('192.0.2.2')!, 4500)).toBe(2)
  expect(socket.destination(parseIp('192.0.2.1')!, 4500)).toBe(0)
  for (let i = 3; i < DESTINATIONS_MAX; i++) expect(socket.destination(parseIp('192.0.2.9')!, i)).toBe(i)
  expect(socket.destination(parseIp('192.0.2.10')!, 1)).toBe(-ENOBUFS)
  expect(socket.destination(parseIp('192.0.2.1')!, 4501)).toBe(1)
  expect(() => socket.destination(LOOPBACK[6], 1)).toThrow(InternalError)
})

test('memory outside the slab is never shown to the kernel', () => {
  const { socket, slab } = end(4).station
  const to = socket.destination(LOOPBACK[4], 9)
  const tx = txBatch(1)
  tx.destination[0] = to
  tx.at[0] = slab.bytes.length - 10
  tx.length[0] = 11
  expect(() => socket.send(tx, 0, 1)).toThrow(InternalError)
  tx.length[0] = 10
  tx.destination[0] = to + 1
  expect(() => socket.send(tx, 0, 1)).toThrow(InternalError)
  expect(() => socket.send(tx, 0, 2)).toThrow(InternalError)
  expect(() => socket.receive(rxBatch(2, slab.bytes.length, SCRATCH_LEN))).toThrow(InternalError)
})
