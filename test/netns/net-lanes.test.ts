import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../src/bytes/slab.js'
import { IPPROTO_AH, IPPROTO_ESP } from '../../src/ffi/constants.js'
import { libc } from '../../src/ffi/libc.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { closeFd } from '../../src/net/fd.js'
import { steerRaw, steerUdp } from '../../src/net/lane-filters.js'
import { openRawSocket, openUdpSocket, sendDatagram } from '../../src/net/open-socket.js'
import { openTun } from '../../src/net/tun.js'
import { steerTun } from '../../src/net/tun-steering.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'

const missing = missingForNetns({ tun: true })
const LANES = 3
const AT = SCRATCH_LEN

/** The queue that a packet belongs to: the program's twin. */
function queueOf(packet: Buffer, queues: number): number {
  const v6 = packet[0]! >>> 4 === 6
  const from = v6 ? 8 : 12
  let hash = 0
  const mix = (word: number): void => {
    hash = Math.imul(hash ^ word, 0x9e37_79b1)
    hash ^= hash >>> 15
  }
  for (let i = from; i < (v6 ? 40 : 20); i += 4) mix(packet.readInt32BE(i))
  const header = v6 ? 40 : (packet[0]! & 15) * 4
  const whole = v6 || (packet.readUInt16BE(6) & 0x3fff) === 0
  if (packet[v6 ? 6 : 9] === 6 && whole) mix(packet.readInt32BE(header))
  return (Math.imul(hash, 0x9e37_79b1) >>> 16) % queues
}

describe.skipIf(missing)('lanes', () => {
  let netns: PrivateNetns
  const open: number[] = []
  const opened = (fd: number): number => {
    open.push(fd)
    return fd
  }
  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
  })
  afterAll(() => {
    for (const fd of open) closeFd(fd)
    netns.leave()
  })

  test('the device gives each flow to one queue, by the packet alone', async () => {
    const tun = openTun({ name: 'lanes0', offload: 'off', queues: LANES })
    open.push(...tun.fds)
    expect(steerTun(tun.fd)).toBe(0)
    netns.ip('address add 10.99.0.1/24 dev lanes0')
    netns.ip('address add fd99::1/64 dev lanes0 nodad')
    netns.ip('link set lanes0 up mtu 1500')
    const slab = nativeSlab(70_000)
    const udp4 = opened(openUdpSocket({ local: parseIp('10.99.0.1')!, port: 0 }).fd)
    const udp6 = opened(openUdpSocket({ local: parseIp('fd99::1')!, port: 0 }).fd)
    for (let i = 2; i < 40; i++) {
      sendDatagram(udp4, parseIp(`10.99.0.${i}`)!, 1000 + i, Buffer.alloc(30 + i))
      sendDatagram(udp6, parseIp(`fd99::${i}`)!, 1000 + i, Buffer.alloc(30 + i))
    }
    // In fragments, beside small ones of the same flow.
    sendDatagram(udp4, parseIp('10.99.0.50')!, 7, Buffer.alloc(4000))
    sendDatagram(udp4, parseIp('10.99.0.50')!, 7, Buffer.alloc(40))
    const sockets = [2, 3, 4, 5, 6, 7, 8, 9].map((port) => connect({ host: '10.99.0.60', port }))
    for (const socket of sockets) socket.on('error', () => undefined)
    await sleep(100)
    const used = new Set<number>()
    let seen = 0
    const fragments = new Set<number>()
    const tcp = new Set<number>()
    for (const [queue, fd] of tun.fds.entries())
      for (;;) {
        const n = libc().read(fd, slab.address + AT, 2000)
        if (n <= 0) break
        const packet = Buffer.from(slab.bytes.slice(AT, AT + n))
        // Router solicitations and the like have no flow.
        expect(queueOf(packet, LANES)).toBe(queue)
        used.add(queue)
        seen++
        if (packet[0]! >>> 4 === 4 && packet[19] === 50) fragments.add(queue)
        if (packet[0]! >>> 4 === 4 && packet[19] === 60) tcp.add(queue)
      }
    for (const socket of sockets) socket.destroy()
    expect(seen).toBeGreaterThanOrEqual(38 * 2 + 4 + 8)
    expect(used.size).toBe(LANES)
    expect(fragments.size).toBe(1)
    expect(tcp.size).toBeGreaterThan(1)
  })

  const spi = (n: number, more = 12): Buffer => {
    const b = Buffer.alloc(4 + more)
    b.writeUInt32BE(n >>> 0, 0)
    return b
  }
  const received = (fd: number): number[] => {
    const out: number[] = []
    const buffer = new Uint8Array(200)
    for (;;) {
      const n = libc().recv(fd, buffer, 0x40)
      if (n < 0) return out
      out.push(n < 4 ? -n : new DataView(buffer.buffer).getUint32(0))
    }
  }
  const SPIS = [256, 257, 258, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fffe, 1000]

  test.each(['127.0.0.1', '::1'])('UDP at %s: by SPI; IKE and keepalives to lane 0', (address) => {
    const local = parseIp(address)!
    const lanes = Array.from({ length: LANES }, () =>
      opened(openUdpSocket({ local, port: 4500, reusePort: true }).fd),
    )
    steerUdp(lanes[0]!, LANES)
    const sender = opened(openUdpSocket({ local, port: 0 }).fd)
    for (const n of SPIS) sendDatagram(sender, local, 4500, spi(n))
    sendDatagram(sender, local, 4500, spi(0, 28))
    sendDatagram(sender, local, 4500, Uint8Array.of(0xff))
    for (const [lane, fd] of lanes.entries()) {
      const expected = SPIS.filter((n) => n % LANES === lane)
      expect(received(fd)).toEqual(lane === 0 ? [...expected, 0, -1] : expected)
    }
  })

  test.each([
    ['127.0.0.1', IPPROTO_ESP, 0],
    ['127.0.0.1', IPPROTO_AH, 4],
    ['::1', IPPROTO_ESP, 0],
    ['::1', IPPROTO_AH, 4],
  ])('raw at %s, protocol %i: each hears its own', (address, protocol, spiAt) => {
    const local = parseIp(address)!
    const family = local.length === 4 ? 4 : 6
    const lanes = Array.from({ length: LANES }, (_, lane) => {
      const { fd } = openRawSocket({ local, protocol })
      steerRaw(fd, family, spiAt, lane, LANES)
      return opened(fd)
    })
    const sender = opened(openRawSocket({ local, protocol }).fd)
    for (const n of SPIS) sendDatagram(sender, local, 0, Buffer.concat([Buffer.alloc(spiAt), spi(n, 20)]))
    const header = family === 4 ? 20 : 0
    for (const [lane, fd] of lanes.entries()) {
      const buffer = new Uint8Array(200)
      const got: number[] = []
      while (libc().recv(fd, buffer, 0x40) > 0)
        got.push(new DataView(buffer.buffer).getUint32(header + spiAt))
      expect(got).toEqual(SPIS.filter((n) => n % LANES === lane))
    }
  })
})
