import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemError } from '../../src/errors.js'
import { closeFd } from '../../src/net/fd.js'
import { openRawSocket, openUdpSocket, type RawSocketOptions } from '../../src/net/open-socket.js'
import { type IpAddress, parseIp } from '../../src/wire/ip-address.js'
import { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, withoutCapabilities } from '../lab/capabilities.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { pattern, Station } from '../unit/net/batches.js'

const missing = missingForNetns()
if (missing) console.log(`skipped, needs a network namespace: ${missing}`)

const ESP = 50
const AH = 51
const A4 = parseIp('10.98.0.1')!
const B4 = parseIp('10.98.0.2')!
const A6 = parseIp('fd00:98::1')!
const B6 = parseIp('fd00:98::2')!

describe.skipIf(missing)('raw sockets', () => {
  let netns: PrivateNetns
  const open: number[] = []
  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
    for (const address of ['10.98.0.1/32', '10.98.0.2/32']) netns.ip(`address add ${address} dev lo`)
    for (const address of ['fd00:98::1/128', 'fd00:98::2/128'])
      netns.ip(`address add ${address} dev lo nodad`)
  })
  afterAll(() => {
    for (const fd of open) closeFd(fd)
    netns.leave()
  })

  function station(
    local: IpAddress,
    protocol: number,
    more: Partial<RawSocketOptions> = {},
    room = 2048,
  ): Station {
    const socket = openRawSocket({ local, protocol, ...more })
    open.push(socket.fd)
    return new Station(socket.fd, socket.family, 'raw', 8, room)
  }

  test.each([ESP, AH])('IPv4 protocol %i: the IP header comes along, TOS in it and beside it', (protocol) => {
    const a = station(A4, protocol)
    const b = station(B4, protocol)
    const to = a.socket.destination(B4, 4500)
    a.put(0, pattern(64, 1), to)
    a.put(1, pattern(1400, 2), to, { tos: 0xb9 })
    expect(a.socket.send(a.tx, 0, 2)).toBe(2)
    expect(b.receive()).toBe(2)
    const [first, second] = [b.octets(0), b.octets(1)]
    expect(first.length).toBe(84)
    expect(first[0]).toBe(0x45)
    expect(first[9]).toBe(protocol)
    expect(first.slice(12, 20)).toEqual(Uint8Array.of(...A4, ...B4))
    expect(first.slice(20)).toEqual(pattern(64, 1))
    expect(second[1]).toBe(0xb9)
    expect([...b.rx.tos.subarray(0, 2)]).toEqual([0, 0xb9])
    expect(b.sourceOf(1)).toEqual(A4)
  })

  test.each([ESP, AH])(
    'IPv6 protocol %i: the payload comes alone, its source and class beside it',
    (protocol) => {
      const a = station(A6, protocol)
      const b = station(B6, protocol)
      // The port would be taken for a protocol number by the kernel: it must not reach it.
      const to = a.socket.destination(B6, 4500)
      a.put(0, pattern(64, 1), to)
      a.put(1, pattern(1400, 2), to, { tos: 0x2a })
      expect(a.socket.send(a.tx, 0, 2)).toBe(2)
      expect(b.receive()).toBe(2)
      expect(b.octets(0)).toEqual(pattern(64, 1))
      expect(b.octets(1)).toEqual(pattern(1400, 2))
      expect([...b.rx.tos.subarray(0, 2)]).toEqual([0, 0x2a])
      expect(b.sourceOf(0)).toEqual(A6)
    },
  )

  test('with the header included, Identification, TTL and TOS are the sender’s own', () => {
    const a = station(A4, AH, { headerIncluded: true })
    const b = station(B4, AH)
    const packet = new Uint8Array(20 + 24)
    packet.set([0x45, 0x88, 0, 44, 0xbe, 0xef, 0x40, 0, 63, AH, 0, 0, ...A4, ...B4])
    packet.set(pattern(24, 3), 20)
    a.put(0, packet, a.socket.destination(B4, 0))
    expect(a.socket.send(a.tx, 0, 1)).toBe(1)
    expect(b.receive()).toBe(1)
    const got = b.octets(0)
    expect(got[1]).toBe(0x88)
    expect(got.slice(4, 9)).toEqual(Uint8Array.of(0xbe, 0xef, 0x40, 0, 63))
    expect(got.slice(20)).toEqual(pattern(24, 3))
  })

  test('IPv6 with the header included', () => {
    const a = station(A6, AH, { headerIncluded: true })
    const b = station(B6, AH)
    const packet = new Uint8Array(40 + 24)
    packet.set([0x6a, 0xb0, 0, 0, 0, 24, AH, 61, ...A6, ...B6])
    packet.set(pattern(24, 3), 40)
    a.put(0, packet, a.socket.destination(B6, 0))
    expect(a.socket.send(a.tx, 0, 1)).toBe(1)
    expect(b.receive()).toBe(1)
    expect(b.octets(0)).toEqual(pattern(24, 3))
    expect(b.rx.tos[0]).toBe(0xab)
  })

  test('a socket gets only what is sent to its address and protocol', () => {
    const a = station(A4, ESP)
    const b = station(B4, ESP)
    const other = station(B4, AH)
    a.put(0, pattern(30, 1), a.socket.destination(B4, 0))
    expect(a.socket.send(a.tx, 0, 1)).toBe(1)
    expect(b.receive()).toBe(1)
    expect(other.socket.receive(other.rx)).toBe(0)
    expect(a.socket.receive(a.rx)).toBe(0)
  })

  test('fragments arrive joined, and DF is as asked for', () => {
    netns.ip('link set lo mtu 1500')
    try {
      const a = station(A4, ESP)
      const b = station(B4, ESP, {}, 4096)
      const to = a.socket.destination(B4, 0)
      a.put(0, pattern(3000, 1), to)
      expect(a.socket.send(a.tx, 0, 1)).toBe(1)
      expect(b.receive()).toBe(1)
      expect(b.octets(0).slice(20)).toEqual(pattern(3000, 1))

      const df = station(A4, ESP, { df: 'set' })
      df.put(0, pattern(3000, 1), df.socket.destination(B4, 0))
      expect(df.socket.send(df.tx, 0, 1)).toBe(-90) // EMSGSIZE
      df.put(0, pattern(300, 1), 0)
      expect(df.socket.send(df.tx, 0, 1)).toBe(1)
      expect(b.receive()).toBe(1)
      expect(b.octets(0)[6]).toBe(0x40)
    } finally {
      netns.ip('link set lo mtu 65536')
    }
  })

  test('missing rights are named', () => {
    const refused = (capabilities: number[], f: () => unknown): string => {
      try {
        withoutCapabilities(capabilities, f)
      } catch (error) {
        expect(error).toBeInstanceOf(SystemError)
        return (error as SystemError).message
      }
      throw new Error('nothing was thrown')
    }
    expect(refused([CAP_NET_RAW], () => openRawSocket({ local: A4, protocol: ESP }))).toContain('CAP_NET_RAW')
    expect(
      refused([CAP_NET_ADMIN, CAP_NET_RAW], () => openUdpSocket({ local: A4, port: 4500, mark: 1 })),
    ).toContain('CAP_NET_ADMIN')
    expect(refused([CAP_NET_BIND_SERVICE], () => openUdpSocket({ local: A4, port: 500 }))).toContain(
      'CAP_NET_BIND_SERVICE',
    )
  })

  test('a marked packet can be routed apart', () => {
    netns.ip('rule add not fwmark 0x5a11 lookup 78')
    netns.ip('route add local 10.98.7.0/24 dev lo table 78')
    const far = parseIp('10.98.7.1')!
    const plain = station(A4, ESP)
    plain.put(0, pattern(10, 0), plain.socket.destination(far, 0))
    expect(plain.socket.send(plain.tx, 0, 1)).toBe(1)
    const marked = station(A4, ESP, { mark: 0x5a11 })
    marked.put(0, pattern(10, 0), marked.socket.destination(far, 0))
    expect(marked.socket.send(marked.tx, 0, 1)).toBe(-101) // ENETUNREACH
  })
})
