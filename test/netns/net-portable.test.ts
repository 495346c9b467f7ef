import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN } from '../../src/bytes/slab.js'
import { SystemError } from '../../src/errors.js'
import { closeFd } from '../../src/net/fd.js'
import { openRawSocket } from '../../src/net/open-socket.js'
import {
  PORTABLE_QUEUE_MAX,
  PORTABLE_SENDING_MAX,
  PortablePacketSocket,
  type PortableSocketOptions,
} from '../../src/net/portable/portable-socket.js'
import { loadRawSocket, type RawSocketModule } from '../../src/net/portable/raw-socket.js'
import { type IpAddress, parseIp } from '../../src/wire/ip-address.js'
import { CAP_NET_RAW, withoutCapabilities } from '../lab/capabilities.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { pattern, rxBatch, Station, txBatch } from '../unit/net/batches.js'

/** A folder below which raw-socket is built, for checkouts that are installed without scripts. */
const elsewhere = process.env.SALLYPORT_RAW_SOCKET

let module: RawSocketModule | undefined
let missing = missingForNetns()
try {
  module = elsewhere ? loadRawSocket(`${elsewhere}/package.json`) : loadRawSocket()
} catch (error) {
  missing ??= (error as Error).message
}
if (missing) console.log(`skipped, needs a network namespace and raw-socket: ${missing}`)

const ESP = 50
const A4 = parseIp('10.97.0.1')!
const B4 = parseIp('10.97.0.2')!
const A6 = parseIp('fd00:97::1')!
const SIZE = 512

describe.skipIf(missing)('the portable socket', () => {
  let netns: PrivateNetns
  const closers: (() => void)[] = []
  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
    for (const address of ['10.97.0.1/32', '10.97.0.2/32']) netns.ip(`address add ${address} dev lo`)
    netns.ip('address add fd00:97::1/128 dev lo nodad')
  })
  afterAll(() => {
    for (const close of closers) close()
    netns.leave()
  })

  function portable(options: Partial<PortableSocketOptions> = {}) {
    const slab = plainSlab(4 * 1024 * 1024)
    const socket = new PortablePacketSocket(slab, { local: A4, protocol: ESP, ...options }, module)
    closers.push(() => socket.close())
    const tx = txBatch(SIZE)
    const rx = rxBatch(SIZE, 2048, SCRATCH_LEN)
    const put = (i: number, octets: Uint8Array, destination: number, tos = 0): void => {
      const at = SCRATCH_LEN + SIZE * 2048 + i * 2048
      slab.bytes.set(octets, at)
      tx.at[i] = at
      tx.length[i] = octets.length
      tx.destination[i] = destination
      tx.tos[i] = tos
    }
    const octets = (i: number): Uint8Array => slab.bytes.slice(rx.at[i]!, rx.at[i]! + rx.length[i]!)
    return { socket, slab, tx, rx, put, octets }
  }

  function native(local: IpAddress): Station {
    const { fd, family } = openRawSocket({ local, protocol: ESP })
    closers.push(() => closeFd(fd))
    return new Station(fd, family, 'raw')
  }

  const readable = (socket: PortablePacketSocket): Promise<void> =>
    new Promise((resolve) => {
      socket.readable = () => {
        socket.readable = undefined
        resolve()
      }
    })

  test('sends what a native socket receives: octets, order, TOS', async () => {
    const b = native(B4)
    const p = portable()
    const to = p.socket.destination(B4, 0)
    p.put(0, pattern(64, 1), to, 0xb8)
    p.put(1, pattern(1400, 2), to)
    expect(p.socket.send(p.tx, 0, 2)).toBe(2)
    // What is in the slab afterwards does not matter.
    p.slab.bytes.fill(0, SCRATCH_LEN + SIZE * 2048)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(b.receive()).toBe(2)
    expect(b.octets(0).slice(20)).toEqual(pattern(64, 1))
    expect(b.octets(1).slice(20)).toEqual(pattern(1400, 2))
    expect([...b.rx.tos.subarray(0, 2)]).toEqual([0xb8, 0])
    expect(p.socket.refused).toBe(0)
  })

  test('receives what a native socket receives, octet for octet', async () => {
    const p = portable({ local: B4 })
    const twin = native(B4)
    const a = native(A4)
    const to = a.socket.destination(B4, 0)
    a.put(0, pattern(700, 1), to, { tos: 0x12 })
    expect(a.socket.send(a.tx, 0, 1)).toBe(1)
    await readable(p.socket)
    expect(p.socket.receive(p.rx)).toBe(1)
    expect(twin.receive()).toBe(1)
    expect(p.octets(0)).toEqual(twin.octets(0))
    expect(p.rx.tos[0]).toBe(0x12)
    expect(p.rx.source.slice(0, 4)).toEqual(A4)
    expect(p.socket.receive(p.rx)).toBe(0)
  })

  test('an IPv4 socket keeps to its address', async () => {
    const p = portable({ local: A4 })
    const q = portable({ local: B4 })
    const a = native(A4)
    a.put(0, pattern(10, 1), a.socket.destination(B4, 0))
    a.socket.send(a.tx, 0, 1)
    await readable(q.socket)
    expect(p.socket.receive(p.rx)).toBe(0)
    expect(q.socket.receive(q.rx)).toBe(1)
  })

  test('IPv6 works without header and without traffic class', async () => {
    const p = portable({ local: A6 })
    p.put(0, pattern(99, 1), p.socket.destination(A6, 0), 0x22)
    expect(p.socket.send(p.tx, 0, 1)).toBe(1)
    await readable(p.socket)
    expect(p.socket.receive(p.rx)).toBe(1)
    expect(p.octets(0)).toEqual(pattern(99, 1))
    expect(p.rx.source.slice(0, 16)).toEqual(A6)
    expect(() => portable({ local: A6, headerIncluded: true })).toThrow(/IPv6 header/)
  })

  test('with the header included, its source and Identification are the sender’s', async () => {
    const p = portable({ local: B4, headerIncluded: true })
    const packet = new Uint8Array(44)
    packet.set([0x45, 0, 0, 44, 0x12, 0x34, 0x40, 0, 64, ESP, 0, 0, ...A4, ...B4])
    p.put(0, packet, p.socket.destination(B4, 0))
    p.socket.send(p.tx, 0, 1)
    await readable(p.socket)
    expect(p.socket.receive(p.rx)).toBe(1)
    expect(p.octets(0).slice(4, 6)).toEqual(Uint8Array.of(0x12, 0x34))
    expect(p.octets(0).slice(12, 16)).toEqual(A4)
  })

  test('both queues are bounded', async () => {
    const p = portable({ local: B4 })
    const to = p.socket.destination(B4, 0)
    for (let i = 0; i < SIZE; i++) p.put(i, pattern(16, i), to)
    expect(p.socket.send(p.tx, 0, SIZE)).toBe(PORTABLE_SENDING_MAX)
    expect(p.socket.send(p.tx, PORTABLE_SENDING_MAX, 1)).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(p.socket.send(p.tx, PORTABLE_SENDING_MAX, 10)).toBe(10)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(p.socket.overrun).toBe(10)
    expect(p.socket.receive(p.rx)).toBe(PORTABLE_QUEUE_MAX)
  })

  test('a closed socket stays closed', () => {
    const p = portable()
    p.put(0, pattern(10, 0), p.socket.destination(B4, 0))
    p.socket.close()
    expect(p.socket.send(p.tx, 0, 1)).toBe(0)
    p.socket.close()
  })

  test('without CAP_NET_RAW it says so', () => {
    expect(() => withoutCapabilities([CAP_NET_RAW], () => portable())).toThrow(SystemError)
    expect(() => withoutCapabilities([CAP_NET_RAW], () => portable())).toThrow(/CAP_NET_RAW/)
  })
})
