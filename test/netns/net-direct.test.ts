import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { directWay } from '../../src/net/direct-way.js'
import { closeFd } from '../../src/net/fd.js'
import { linkByName } from '../../src/net/links.js'
import { withNetlink } from '../../src/net/netlink.js'
import { openLinkSocket, openRawSocket } from '../../src/net/open-socket.js'
import { NativePacketSocket } from '../../src/net/packet-socket.js'
import type { DirectWay } from '../../src/net/types.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { Station } from '../unit/net/batches.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace: ${missing}`)

const ip = (text: string): Uint8Array => parseIp(text)!
const MARK = 0x5a11
const MAC = '02:00:00:00:00:'
const LOCAL = { 4: ip('10.97.0.1'), 6: ip('fd00:97::1') } as const
const ESP = 50
const UDP = 17

describe.skipIf(missing)('direct ways', () => {
  let netns: PrivateNetns
  let index: number
  const open: number[] = []
  beforeAll(() => {
    netns = PrivateNetns.enter()
    for (const command of [
      'link set lo up',
      // What leaves one end arrives at the other, where nobody has an address.
      'link add v0 type veth peer name v1',
      'link set v1 up',
      'link set v0 up',
      'address add 10.97.0.1/24 dev v0',
      'address add fd00:97::1/64 dev v0 nodad',
      `neigh add 10.97.0.2 lladdr ${MAC}02 dev v0 nud permanent`,
      `neigh add fd00:97::2 lladdr ${MAC}02 dev v0 nud permanent`,
      `neigh add 10.97.0.3 lladdr ${MAC}03 dev v0 nud stale`,
      `neigh add 10.97.0.254 lladdr ${MAC}fe dev v0 nud reachable`,
      `neigh add fd00:97::fe lladdr ${MAC}fe dev v0 nud permanent`,
      'route add 10.96.1.0/24 via 10.97.0.254',
      'route add fd00:96::/64 via fd00:97::fe',
      'route add 10.96.2.0/24 via inet6 fd00:97::fe dev v0',
      'route add 10.96.3.0/24 via 10.97.0.254 mtu 1300',
      'route add 10.96.4.0/24 via 10.97.0.9',
      'route add blackhole 10.96.5.0/24',
      'tuntap add dev t0 mode tun',
      'link set t0 up',
      'route add 10.96.6.0/24 dev t0',
      'route add 10.96.7.0/24 via 10.97.0.254',
      'route add 10.96.7.0/24 via 10.97.0.2 table 77',
      `rule add fwmark ${MARK} lookup 77`,
      'route add default via 10.97.0.2 table 78',
      'rule add from 10.97.0.1 to 10.96.8.0/24 lookup 78',
    ])
      netns.ip(command)
    index = withNetlink('route', (netlink) => linkByName(netlink, 'v0').index)
  })
  afterAll(() => {
    for (const fd of open) closeFd(fd)
    netns.leave()
  })

  const way = (remote: string, mark = 0): DirectWay | undefined =>
    withNetlink('route', (netlink) => {
      const address = ip(remote)
      return directWay(netlink, LOCAL[address.length === 4 ? 4 : 6], address, mark)
    })
  const station = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last)

  test.each([
    ['a neighbour', '10.97.0.2', 2],
    ['an IPv6 neighbour', 'fd00:97::2', 2],
    ['a neighbour that was not heard of lately', '10.97.0.3', 3],
    ['behind a gateway', '10.96.1.1', 0xfe],
    ['IPv6 behind a gateway', 'fd00:96::1', 0xfe],
    ['IPv4 by way of an IPv6 gateway', '10.96.2.1', 0xfe],
    ['chosen by the source address', '10.96.8.1', 2],
  ] as const)('%s', (_, remote, last) => {
    expect(way(remote)).toEqual({ index, mac: station(last), mtu: 1500 })
  })

  test('the mark chooses, and the MTU of the route is kept to', () => {
    expect(way('10.96.7.1')?.mac).toEqual(station(0xfe))
    expect(way('10.96.7.1', MARK)?.mac).toEqual(station(2))
    expect(way('10.96.3.1')?.mtu).toBe(1300)
  })

  test.each([
    ['this host', '10.97.0.1'],
    ['loopback', '127.0.0.1'],
    ['a neighbour that nobody asked for yet', '10.97.0.8'],
    ['a gateway that is not known', '10.96.4.1'],
    ['a blackhole', '10.96.5.1'],
    ['a device without Ethernet', '10.96.6.1'],
    ['no route', '192.0.2.1'],
    ['no IPv6 route', '2001:db8::1'],
  ])('none to %s', (_, remote) => {
    expect(way(remote)).toBeUndefined()
  })

  /** Packets that arrived at the other end. */
  const arrived = (): number =>
    Number(/v1:\s*\d+\s+(\d+)/.exec(readFileSync('/proc/thread-self/net/dev', 'latin1'))?.[1])

  describe.each([4, 6] as const)('a raw socket over IPv%i', (family) => {
    const remote = ip(family === 4 ? '10.97.0.2' : 'fd00:97::2')
    const packet = (length: number, protocol: number): Uint8Array => {
      const b = new Uint8Array(length)
      b[0] = family === 4 ? 0x45 : 0x60
      b[family === 4 ? 9 : 6] = protocol
      b.set(LOCAL[family], family === 4 ? 12 : 8)
      b.set(remote, family === 4 ? 16 : 24)
      if (family === 4) b.set([length >>> 8, length & 0xff, 0, 1], 2)
      else b.set([(length - 40) >>> 8, (length - 40) & 0xff], 4)
      return b
    }

    function sender(): { send: (packets: readonly Uint8Array[]) => number; socket: NativePacketSocket } {
      const raw = openRawSocket({ local: LOCAL[family], protocol: ESP, headerIncluded: true })
      const linkFd = openLinkSocket(MARK)
      open.push(raw.fd, linkFd)
      const { slab, tx } = new Station(raw.fd, family, 'raw')
      const socket = new NativePacketSocket(raw.fd, family, 'raw', slab, linkFd)
      const to = socket.destination(remote, 0)
      const send = (packets: readonly Uint8Array[]): number => {
        for (const [i, p] of packets.entries()) {
          tx.at[i] = Station.SEND_AT + i * 10_000
          tx.length[i] = p.length
          tx.destination[i] = to
          slab.bytes.set(p, tx.at[i])
        }
        let sent = 0
        for (let calls = 0; sent < packets.length && calls < 10; calls++) {
          const n = socket.send(tx, sent, packets.length - sent)
          if (n < 0) return n
          sent += n
        }
        return sent
      }
      return { send, socket }
    }
    const esp = (n: number, length = 1400): Uint8Array[] =>
      Array.from({ length: n }, () => packet(length, ESP))

    test('goes the direct way from the second batch on, until it is told again', () => {
      const { send, socket } = sender()
      const before = arrived()
      expect(send(esp(3))).toBe(3)
      expect(socket.takeDirect()).toBe(0)
      for (let round = 0; round < 2; round++) {
        socket.setWay(remote, way(family === 4 ? '10.97.0.2' : 'fd00:97::2'))
        expect(send(esp(3))).toBe(3)
        expect(socket.takeDirect()).toBe(0)
        expect(send(esp(5))).toBe(5)
        expect(socket.takeDirect()).toBe(5)
      }
      socket.setWay(remote, undefined)
      expect(send(esp(3))).toBe(3)
      expect(send(esp(3))).toBe(3)
      expect(socket.takeDirect()).toBe(0)
      expect(arrived() - before).toBeGreaterThanOrEqual(25)
    })

    test('what is no ESP, and what is longer than the way, goes through the IP layer, in order', () => {
      const { send, socket } = sender()
      socket.setWay(remote, { ...way(family === 4 ? '10.97.0.2' : 'fd00:97::2')!, mtu: 1300 })
      send(esp(1))
      expect(send([packet(1000, ESP), packet(1000, UDP), packet(1301, ESP), packet(1300, ESP)])).toBe(4)
      expect(socket.takeDirect()).toBe(2)
    })

    test('a way that is wrong costs nothing: the packets take the other one', () => {
      const { send, socket } = sender()
      const right = way(family === 4 ? '10.97.0.2' : 'fd00:97::2')!
      for (const wrong of [
        { ...right, index: 9999 },
        { ...right, mtu: 65_535 },
      ]) {
        socket.setWay(remote, wrong)
        send(esp(1))
        const before = arrived()
        const result = send(esp(3, wrong.mtu > 1500 ? 1501 : 1400))
        expect(socket.takeDirect()).toBe(0)
        // Longer than the device: what the IP layer says of it.
        if (wrong.mtu > 1500) expect(result).toBe(-90)
        else expect(arrived() - before).toBeGreaterThanOrEqual(result)
        expect(send(esp(2))).toBe(2)
        expect(socket.takeDirect()).toBe(0)
      }
    })
  })
})
