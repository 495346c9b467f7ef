import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Dataplane } from '../../src/dataplane/dataplane.js'
import { SO_NO_CHECK, SOL_SOCKET } from '../../src/ffi/constants.js'
import { SIN_PORT, SOCKADDR_STRIDE } from '../../src/ffi/layout/sockaddr.js'
import { libc } from '../../src/ffi/libc.js'
import { closeFd } from '../../src/net/fd.js'
import { openUdpSocket } from '../../src/net/open-socket.js'
import type { SaSpec } from '../../src/sadb/sa-spec.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { compiled } from '../lab/root.js'
import { Station } from '../unit/net/batches.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace and TUN: ${missing}`)

// A data path whose offloads go wrong while it runs. Its peer is a UDP socket of this test; on the loopback device the
// kernel hands a train of datagrams over as it was sent.

const NATT = 4500
const LOCAL = parseIp('127.0.0.1')!
const PEER = parseIp('127.0.0.2')!
const INNER = [parseIp('10.88.1.1')!, parseIp('10.88.2.1')!] as const
const INNER_PORT = 7000
const KEY = Uint8Array.from({ length: 20 }, (_, i) => i * 11)
const selector = (address: Uint8Array) => [
  { start: address, end: address, protocol: 0, startPort: 0, endPort: 65_535 },
]

describe.skipIf(missing)('offloads that go wrong while running', () => {
  let netns: PrivateNetns
  let dataplane: Dataplane
  let peer: Station
  let peerFd: number
  let innerFd: number
  let told: [string, string][]

  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
  })
  afterAll(() => netns.leave())

  beforeEach(async () => {
    told = []
    const { Dataplane } = (await import(
      compiled('src/dataplane/dataplane')
    )) as typeof import('../../src/dataplane/dataplane.js')
    dataplane = await Dataplane.start({
      tunName: 'tun0',
      locals: [LOCAL],
      lanes: 1,
      fwmark: 0x5a11,
      engine: 'auto',
      offload: { tun: 'uso', udpGso: true, udpGro: true, joinTcp: true, joinUdp: true, rawDirect: true },
      listener: {
        acquire: () => undefined,
        expire: () => undefined,
        ike: () => undefined,
        refused: (_, reason) => told.push(['refused', reason]),
        pathMtu: () => undefined,
        unknownSpi: () => {},
        packetFrom: () => {},
        unreachable: () => undefined,
        stepBack: (feature, reason) => told.push([feature, reason]),
        fault: (error) => told.push(['fault', error.message]),
      },
    })
    // Nothing of the kernel's own shall be counted.
    netns.run('sysctl', '-qw', 'net.ipv6.conf.tun0.disable_ipv6=1')
    netns.ip('link set tun0 up mtu 1400')
    netns.ip('address add 10.88.1.1/32 dev tun0')
    netns.ip('route add 10.88.2.1/32 dev tun0 src 10.88.1.1')
    dataplane.addPolicy({
      id: 1,
      peer: 'peer',
      child: 'child',
      mode: 'tunnel',
      protocol: 'esp',
      localTs: selector(INNER[0]),
      remoteTs: selector(INNER[1]),
    })
    // What it sends is authentic when it comes back: both directions share key, SPI and selectors.
    for (const direction of ['outbound', 'inbound'] as const) {
      const [from, to] = direction === 'outbound' ? INNER : [INNER[1], INNER[0]]
      const sa: SaSpec = {
        direction,
        protocol: 'esp',
        mode: 'tunnel',
        spi: 0x1234,
        policy: 1,
        encryption: { id: 20, key: KEY.slice() },
        esn: false,
        replayWindow: 4096,
        local: LOCAL,
        remote: PEER,
        udp: { localPort: NATT, remotePort: NATT },
        localTs: selector(from),
        remoteTs: selector(to),
        lifetime: {},
      }
      dataplane.addSa(sa)
    }
    const opened = openUdpSocket({ local: PEER, port: NATT, gro: true })
    peerFd = opened.fd
    peer = new Station(peerFd, 4, 'udp', 7, 65_536)
    innerFd = openUdpSocket({ local: INNER[0], port: INNER_PORT }).fd
  })
  afterEach(async () => {
    closeFd(peerFd)
    closeFd(innerFd)
    await dataplane.stop()
  })

  /** Sends `count` datagrams through the data path and gives the ESP packets that it makes of them. */
  async function esp(count: number): Promise<Uint8Array[]> {
    const inner = new Station(innerFd, 4, 'udp', 1)
    inner.put(0, new Uint8Array(count * 500).fill(7), inner.socket.destination(INNER[1], INNER_PORT), {
      segment: 500,
    })
    expect(inner.socket.send(inner.tx, 0, 1)).toBe(1)
    const got: Uint8Array[] = []
    for (let tries = 0; got.length < count && tries < 100; tries++) {
      await sleep(5)
      const n = peer.socket.receive(peer.rx)
      for (let i = 0; i < n; i++) {
        const octets = peer.octets(i)
        const segment = peer.rx.segment[i]! || octets.length
        for (let at = 0; at < octets.length; at += segment) got.push(octets.slice(at, at + segment))
      }
    }
    return got
  }

  /** Sends packets of one length to the data path as one train. */
  function train(packets: readonly Uint8Array[]): void {
    const to = peer.socket.destination(LOCAL, NATT)
    peer.put(0, Uint8Array.from(Buffer.concat(packets)), to, { segment: packets[0]!.length })
    expect(peer.socket.send(peer.tx, 0, 1)).toBe(1)
  }

  const forged = (packet: Uint8Array): Uint8Array => packet.map((o, i) => (i === 100 ? o ^ 1 : o))
  const feature = (name: string): boolean | undefined => dataplane.status().features[name]

  async function until(holds: () => boolean): Promise<void> {
    for (let tries = 0; !holds() && tries < 200; tries++) await sleep(10)
    expect(told.filter(([name]) => name === 'fault' || name === 'refused')).toEqual([])
  }

  test('UDP_SEGMENT is refused: nothing is lost, and it is off after a few times', async () => {
    expect(feature('udpGso')).toBe(true)
    const c = libc()
    for (let fd = 3; fd < 1024; fd++) {
      const name = new Uint8Array(SOCKADDR_STRIDE)
      if (fd === peerFd || c.getsockname(fd, name) < 0) continue
      // The kernel cuts nothing for a socket that sends no checksums.
      if (((name[SIN_PORT]! << 8) | name[SIN_PORT + 1]!) === NATT)
        c.setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, 1)
    }
    const sequence: number[] = []
    for (let round = 0; round < 6; round++)
      for (const packet of await esp(20)) sequence.push(Buffer.from(packet).readUInt32BE(4))
    expect(sequence).toEqual(Array.from({ length: 120 }, (_, i) => i + 1))
    await until(() => told.length > 0)
    expect(told.map(([name]) => name)).toEqual(['udpGso'])
    expect(feature('udpGso')).toBe(false)
    expect(dataplane.status().drops).toEqual({})
  })

  test('joined datagrams are spoilt behind an authentic first one: UDP_GRO is given up', async () => {
    expect(feature('udpGro')).toBe(true)
    for (let round = 1; round <= 40 && told.length === 0; round++) {
      const [first, ...others] = await esp(4)
      train([first!, ...others.map(forged)])
      await until(() => dataplane.status().counters.tunWritePackets === round)
    }
    await until(() => told.length > 0)
    expect(told.map(([name]) => name)).toEqual(['udpGro'])
    expect(feature('udpGro')).toBe(false)

    // Without it everything is carried as before.
    const before = dataplane.status().counters.tunWritePackets
    for (let round = 0; round < 5; round++) train(await esp(10))
    await until(() => dataplane.status().counters.tunWritePackets === before + 50)
    expect(dataplane.status().counters.tunWritePackets).toBe(before + 50)
  })

  test('forged trains, whatever is in them, switch nothing off', async () => {
    const [packet] = await esp(1)
    for (let round = 0; round < 60; round++) train(Array.from({ length: 10 }, () => forged(packet!)))
    const spi = packet!.map((o, i) => (i === 0 ? o ^ 0x40 : o))
    for (let round = 0; round < 60; round++) train(Array.from({ length: 10 }, () => spi))
    await until(() => dataplane.status().counters.rxDatagrams === 1200)
    expect(dataplane.status().drops).toEqual({ 'bad-icv': 600, 'unknown-spi': 600 })
    expect(told).toEqual([])
    expect(feature('udpGro')).toBe(true)
  })
})
