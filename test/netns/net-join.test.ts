import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { Coalescer, coalescerHeaderRoom, SEGMENTS_MAX } from '../../src/dataplane/coalescing.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { closeFd } from '../../src/net/fd.js'
import { NativeIoVectors } from '../../src/net/iovectors.js'
import { openUdpSocket } from '../../src/net/open-socket.js'
import { type OpenTun, openTun } from '../../src/net/tun.js'
import { NativeTunQueue } from '../../src/net/tun-queue.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { VNET_HDR_LEN, writePlainVnetHeader } from '../../src/wire/virtio-net-hdr.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { buildPacket } from '../reference/tcp-packets.js'
import { Station } from '../unit/net/batches.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace and TUN: ${missing}`)

// Joined datagrams, written to a real device, must reach every kind of socket as the datagrams that they were.

const PORT = 5201
/** Where buildPacket sends to. */
const HOSTS = { 4: parseIp('10.88.2.1')!, 6: parseIp('fd00::2')! } as const

describe.skipIf(missing)('joined datagrams', () => {
  let netns: PrivateNetns
  let slab: Slab
  let tun: OpenTun
  beforeAll(() => {
    netns = PrivateNetns.enter()
    slab = nativeSlab(1 << 20)
    tun = openTun({ name: 'tun0' })
    netns.ip('link set tun0 up mtu 1500')
    netns.ip('address add 10.88.2.1/16 dev tun0')
    netns.ip('address add fd00::2/64 dev tun0 nodad')
  })
  afterAll(() => {
    closeFd(tun.fd)
    netns.leave()
  })

  /** Writes the packets through a Coalescer; returns how many each write held. */
  function write(packets: readonly Uint8Array[]): number[] {
    const queue = new NativeTunQueue(tun.fd, tun.vnetHeader, slab)
    const held: number[] = []
    const vectors = new NativeIoVectors(slab, SEGMENTS_MAX + 1)
    const coalescer = new Coalescer(slab, SCRATCH_LEN, vectors, {
      writeOne: (at, length) => {
        writePlainVnetHeader(slab.bytes, at - VNET_HDR_LEN)
        expect(queue.write(at - VNET_HDR_LEN, VNET_HDR_LEN + length)).toBe(VNET_HDR_LEN + length)
        held.push(1)
      },
      writeMany: (_, count, length) => {
        expect(queue.writev(vectors, count)).toBe(VNET_HDR_LEN + length)
        held.push(count - 1)
        return true
      },
    })
    let at = SCRATCH_LEN + coalescerHeaderRoom + 64
    for (const p of packets) {
      slab.bytes.set(p, at)
      coalescer.add(at, p.length)
      at += p.length + 64
    }
    coalescer.flush()
    return held
  }

  const cut = (octets: Uint8Array, segment: number): Uint8Array[] =>
    segment === 0
      ? [octets]
      : Array.from({ length: Math.ceil(octets.length / segment) }, (_, i) =>
          octets.slice(i * segment, (i + 1) * segment),
        )
  const payload = (i: number, length: number): Uint8Array =>
    Uint8Array.from({ length }, (_, k) => (i * 131 + k * 7) & 0xff)

  test.each([
    { family: 4, gro: false },
    { family: 4, gro: true },
    { family: 6, gro: false },
    { family: 6, gro: true },
  ] as const)('IPv$family, socket with UDP_GRO $gro', ({ family, gro }) => {
    expect(tun.offload).toBe('uso')
    const socket = openUdpSocket({ local: HOSTS[family], port: PORT, gro })
    const station = gro
      ? new Station(socket.fd, family, 'udp', 7, 65_536)
      : new Station(socket.fd, family, 'udp')
    try {
      for (const sizes of [
        Array.from({ length: 64 }, () => 1400),
        [...Array.from({ length: 45 }, () => 1400), 1],
        Array.from({ length: 64 }, () => 1),
        [8, 8, 8, 3, 3, 3, 3, 900, 900, 899, 900, 0, 900],
        [1472, 1472],
      ]) {
        const sent = sizes.map((n, i) => payload(i, n))
        const packets = sent.map((octets, i) =>
          buildPacket({
            version: family,
            protocol: 17,
            sourcePort: 40_000,
            seq: 0,
            flags: 0,
            id: 65_500 + i,
            dontFragment: true,
            options: new Uint8Array(),
            payload: octets,
          }),
        )
        const held = write(packets)
        expect(held.length).toBeLessThan(sizes.length)
        const got: Uint8Array[] = []
        while (got.length < sizes.length) {
          const n = station.receive()
          if (n === 0) break
          for (let i = 0; i < n; i++) got.push(...cut(station.octets(i), station.rx.segment[i]!))
        }
        expect(got.map((d) => d.length)).toEqual(sizes)
        expect(got).toEqual(sent)
        expect(station.socket.receive(station.rx)).toBe(0)
      }
    } finally {
      closeFd(socket.fd)
    }
  })
})
