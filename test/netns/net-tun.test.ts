import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { InternalError, SystemError } from '../../src/errors.js'
import { EBUSY, EINVAL, EIO, ENOENT, EPERM } from '../../src/ffi/errno.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { closeFd } from '../../src/net/fd.js'
import { NativeIoVectors } from '../../src/net/iovectors.js'
import { openUdpSocket, sendDatagram } from '../../src/net/open-socket.js'
import { Poller } from '../../src/net/poller.js'
import { lowerTunOffload, type OpenTun, openTun, setTunOffload, type TunOffload } from '../../src/net/tun.js'
import { NativeTunQueue } from '../../src/net/tun-queue.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { CAP_NET_ADMIN, withoutCapabilities } from '../lab/capabilities.js'
import { withHidden } from '../lab/private-mounts.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { TinyTcpPeer } from '../lab/tiny-tcp-peer.js'
import { pattern, Station } from '../unit/net/batches.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace and TUN: ${missing}`)

const VNET = 10
const AT = SCRATCH_LEN
const ROOM = VNET + 65_535
const HOST = parseIp('10.99.0.1')!
const PEER = parseIp('10.99.0.2')!

function caught(f: () => unknown): SystemError {
  try {
    f()
  } catch (error) {
    if (error instanceof SystemError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

function sum16(b: Uint8Array, at: number, length: number, seed: number): number {
  let s = seed
  for (let i = at; i < at + length; i += 2) s += (b[i]! << 8) | b[i + 1]!
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
  return s
}

describe.skipIf(missing)('TUN', () => {
  let netns: PrivateNetns
  let slab: Slab
  const open: number[] = []
  beforeAll(() => {
    netns = PrivateNetns.enter()
    slab = nativeSlab(512 * 1024)
  })
  afterAll(() => {
    for (const fd of open) closeFd(fd)
    netns.leave()
  })

  function device(name: string, offload: TunOffload): { tun: OpenTun; queue: NativeTunQueue } {
    const tun = openTun({ name, offload })
    open.push(tun.fd)
    netns.ip(`link set ${name} up mtu 1500`)
    netns.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`)
    netns.ip(`address add 10.99.0.1/24 dev ${name}`)
    return { tun, queue: new NativeTunQueue(tun.fd, tun.vnetHeader, slab) }
  }

  function close({ tun }: { tun: OpenTun }): void {
    closeFd(open.splice(open.indexOf(tun.fd), 1)[0]!)
  }

  /** The first IPv4 packet that the kernel routes into the device, its vnet header included. */
  function next(queue: NativeTunQueue): Uint8Array {
    const poller = new Poller()
    poller.add(queue.fd)
    const skip = queue.vnetHeader ? VNET : 0
    for (let tries = 0; tries < 20; tries++) {
      const n = queue.read(AT, ROOM)
      if (n === 0) poller.wait(100)
      else if (n < 0) throw new Error(`read: errno ${-n}`)
      else if (slab.bytes[AT + skip]! >>> 4 === 4) return slab.bytes.slice(AT, AT + n)
    }
    throw new Error('no packet came')
  }

  test.each(['tso', 'off'] as const)('packets go both ways at level %s', (offload) => {
    const d = device('tun0', offload)
    expect(d.tun.vnetHeader).toBe(offload !== 'off')
    expect(d.tun.offload).toBe(offload)
    const skip = d.tun.vnetHeader ? VNET : 0
    const socket = openUdpSocket({ local: HOST, port: 4000, df: 'clear' })
    try {
      const station = new Station(socket.fd, 4, 'udp')
      expect(sendDatagram(socket.fd, PEER, 5000, pattern(100, 1))).toBe(100)
      const packet = next(d.queue).slice(skip)
      expect(packet.length).toBe(128)
      expect(packet.slice(12, 20)).toEqual(Uint8Array.of(...HOST, ...PEER))
      expect(packet.slice(28)).toEqual(pattern(100, 1))

      // Turned round (ports and addresses change places, the checksum stays valid) it comes back to the socket.
      const back = packet.slice()
      back.set(packet.slice(16, 20), 12)
      back.set(packet.slice(12, 16), 16)
      back.set(packet.slice(22, 24), 20)
      back.set(packet.slice(20, 22), 22)
      back.fill(0, 26, 28) // no UDP checksum
      slab.bytes.fill(0, AT, AT + skip)
      slab.bytes.set(back, AT + skip)
      expect(d.queue.write(AT, skip + back.length)).toBe(skip + back.length)
      expect(station.receive()).toBe(1)
      expect(station.octets(0)).toEqual(pattern(100, 1))
      expect(station.sourceOf(0)).toEqual(PEER)

      // The same, gathered from three places.
      const vectors = new NativeIoVectors(slab, 3)
      slab.bytes.copyWithin(AT + 4096, AT, AT + 60)
      slab.bytes.copyWithin(AT + 8192, AT + 60, AT + 61)
      vectors.set(0, AT + 4096, 60)
      vectors.set(1, AT + 8192, 1)
      vectors.set(2, AT + 61, skip + 128 - 61)
      expect(d.queue.writev(vectors, 3)).toBe(skip + 128)
      expect(station.receive()).toBe(1)
      expect(station.octets(0)).toEqual(pattern(100, 1))
    } finally {
      closeFd(socket.fd)
      close(d)
    }
  })

  test('nothing waiting reads as 0, a device that is down refuses writes', () => {
    const tun = openTun({ name: 'tun0' })
    const queue = new NativeTunQueue(tun.fd, tun.vnetHeader, slab)
    expect(queue.read(AT, ROOM)).toBe(0)
    slab.bytes.fill(0, AT, AT + VNET + 20)
    slab.bytes[AT + VNET] = 0x45
    expect(queue.write(AT, VNET + 20)).toBe(-EIO)
    expect(() => queue.write(slab.bytes.length - 5, 6)).toThrow(InternalError)
    expect(() => queue.read(-1, 5)).toThrow(InternalError)
    closeFd(tun.fd)
  })

  test('with TSO large TCP segments come whole, without it they come cut', async () => {
    for (const offload of ['tso', 'none'] as const) {
      const d = device('tun0', offload)
      const stream = new TinyTcpPeer(d.queue, slab, AT)
      try {
        const largest = await stream.largestSegment(64 * 1024)
        if (offload === 'tso') {
          expect(largest.payload).toBeGreaterThan(1460)
          expect(largest.vnet).toEqual({ flags: 1, gsoType: 1, gsoSize: 1460, csumStart: 20, csumOffset: 16 })
        } else {
          expect(largest.payload).toBe(1460)
          expect(largest.vnet).toEqual({ flags: 0, gsoType: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 })
        }
      } finally {
        stream.close()
        close(d)
      }
    }
  })

  test('with USO a UDP_SEGMENT message comes whole, without it cut', () => {
    for (const offload of ['uso', 'tso'] as const) {
      const d = device('tun0', offload)
      const { fd } = openUdpSocket({ local: HOST, port: 4000 })
      try {
        const station = new Station(fd, 4, 'udp')
        station.put(0, pattern(3500, 1), station.socket.destination(PEER, 5000), { segment: 1000 })
        expect(station.socket.send(station.tx, 0, 1)).toBe(1)
        const first = next(d.queue)
        if (d.tun.offload === 'uso') {
          expect(first[1]).toBe(5) // VIRTIO_NET_HDR_GSO_UDP_L4
          expect(first[4]! | (first[5]! << 8)).toBe(1000)
          expect(first.slice(VNET + 28)).toEqual(pattern(3500, 1))
        } else {
          expect(first.slice(0, 6)).toEqual(new Uint8Array([first[0]!, 0, 0, 0, 0, 0]))
          const lengths = [first, next(d.queue), next(d.queue), next(d.queue)].map(
            (p) => p.length - VNET - 28,
          )
          expect(lengths).toEqual([1000, 1000, 1000, 500])
        }
      } finally {
        closeFd(fd)
        close(d)
      }
    }
  })

  test('segments written as one with a vnet header reach a UDP socket cut', () => {
    const d = device('tun0', 'none')
    const { fd } = openUdpSocket({ local: HOST, port: 4000 })
    try {
      const station = new Station(fd, 4, 'udp')
      const payload = pattern(2500, 3)
      const packet = new Uint8Array(28 + payload.length)
      const view = new DataView(packet.buffer)
      packet.set([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 17, 0, 0, ...PEER, ...HOST])
      view.setUint16(2, packet.length)
      view.setUint16(10, ~sum16(packet, 0, 20, 0) & 0xffff)
      view.setUint16(20, 5000)
      view.setUint16(22, 4000)
      view.setUint16(24, 8 + payload.length)
      // Needs checksum: the pseudo-header's sum, not complemented.
      view.setUint16(26, sum16(packet, 12, 8, 17 + 8 + payload.length))
      packet.set(payload, 28)
      slab.bytes.set([1, 5, 28, 0, 1000 & 0xff, 1000 >> 8, 20, 0, 6, 0], AT)
      slab.bytes.set(packet, AT + VNET)
      const n = d.queue.write(AT, VNET + packet.length)
      if (n === -EINVAL) return // before Linux 6.2
      expect(n).toBe(VNET + packet.length)
      expect(station.receive()).toBe(3)
      expect([...station.rx.length.subarray(0, 3)]).toEqual([1000, 1000, 500])
      expect(station.octets(2)).toEqual(payload.slice(2000))
    } finally {
      closeFd(fd)
      close(d)
    }
  })

  test('levels are granted from the top, and can be lowered while the device is open', () => {
    const d = device('tun0', 'uso')
    // USO needs Linux 6.2; either answer is right, a level in between is not.
    expect(['uso', 'tso']).toContain(d.tun.offload)
    let bits = d.tun.offloads
    const gone: (string | undefined)[] = []
    for (let i = 0; i < 4; i++) {
      const lower = lowerTunOffload(d.tun.fd, bits)
      gone.push(lower.feature)
      bits = lower.bits
    }
    expect(gone).toEqual(['tunUso', 'tunTso', 'tunChecksum', undefined])
    expect(bits).toBe(0)
    expect(setTunOffload(d.tun.fd, 'tso').level).toBe('tso')
    expect(setTunOffload(d.tun.fd, 'checksum')).toMatchObject({ level: 'checksum', bits: 1 })
    expect(setTunOffload(d.tun.fd, 'none')).toMatchObject({ level: 'none', bits: 0 })
    expect(setTunOffload(d.tun.fd, 'tso').level).toBe('tso')
    close(d)
    for (const level of ['checksum', 'none'] as const) {
      const tun = openTun({ name: 'tun0', offload: level })
      expect(tun).toMatchObject({ offload: level, vnetHeader: true })
      closeFd(tun.fd)
    }
  })

  test('several queues belong to one device', () => {
    const tun = openTun({ name: 'tun0', queues: 3 })
    open.push(...tun.fds)
    expect(new Set(tun.fds).size).toBe(3)
    expect(tun.fd).toBe(tun.fds[0])
    const error = caught(() => openTun({ name: 'tun0', queues: 2 }))
    expect(error.errno).toBe(EBUSY)
    for (const fd of tun.fds) closeFd(open.splice(open.indexOf(fd), 1)[0]!)
    expect(netns.ip('-br link')).not.toContain('tun0')
  })

  test('a device of that name is refused by name', () => {
    const tun = openTun({ name: 'tun0' })
    const error = caught(() => openTun({ name: 'tun0' }))
    expect(error).toMatchObject({ errno: EBUSY, call: 'TUNSETIFF', code: 'SALLYPORT_SYSTEM' })
    expect(error.message).toContain('TUN device tun0')
    expect(error.message).toContain('Another sallyport')
    closeFd(tun.fd)
    // A device of another kind is not taken over either.
    expect(caught(() => openTun({ name: 'lo' })).errno).toBe(EBUSY)
  })

  test('names that no device can have are refused', () => {
    for (const name of ['', 'a name', 'sixteen-octets-x', 'tun%d', 'a/b', '..'])
      expect(caught(() => openTun({ name })).errno).toBe(EINVAL)
    expect(caught(() => openTun({ name: 'tun0', queues: 0 })).errno).toBe(EINVAL)
  })

  test('without CAP_NET_ADMIN the missing right is named', () => {
    const error = caught(() => withoutCapabilities([CAP_NET_ADMIN], () => openTun({ name: 'tun0' })))
    expect(error).toMatchObject({ errno: EPERM, call: 'TUNSETIFF' })
    expect(error.message).toContain('CAP_NET_ADMIN is missing')
    const tun = openTun({ name: 'tun0' })
    closeFd(tun.fd)
  })

  test('without /dev/net/tun it says what to load', () => {
    const error = caught(() => withHidden('/dev/net', () => openTun({ name: 'tun0' })))
    expect(error).toMatchObject({ errno: ENOENT, call: 'open' })
    expect(error.message).toContain('/dev/net/tun')
    expect(error.message).toContain('modprobe tun')
  })
})
