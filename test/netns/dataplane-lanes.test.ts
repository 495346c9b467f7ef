import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../src/bytes/slab.js'
import type { Dataplane } from '../../src/dataplane/dataplane.js'
import { type DescriptorOptions, openDescriptors } from '../../src/dataplane/descriptors.js'
import type { LaneThread, LaneThreadOptions } from '../../src/dataplane/lane-thread.js'
import { EADDRINUSE } from '../../src/ffi/errno.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { DROP } from '../../src/ipsec/drop.js'
import { closeFd } from '../../src/net/fd.js'
import { openUdpSocket, sendDatagram } from '../../src/net/open-socket.js'
import { NativeTunQueue } from '../../src/net/tun-queue.js'
import { lanePolicy } from '../../src/sadb/lane-policy.js'
import type { SaSpec } from '../../src/sadb/sa-spec.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { VNET_GSO_TCPV4, VNET_HDR_LEN, writeVnetHeader } from '../../src/wire/virtio-net-hdr.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'
import { compiled } from '../lab/root.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace and TUN: ${missing}`)

const LANES = 4
const LOCAL = parseIp('127.0.0.1')!
const PEER = parseIp('127.0.0.2')!
const INNER = [parseIp('10.88.1.1')!, parseIp('10.88.2.1')!] as const
const selector = (address: Uint8Array) => [
  { start: address, end: address, protocol: 0, startPort: 0, endPort: 65_535 },
]
const options = (tunName: string): DescriptorOptions => ({
  tunName,
  locals: [LOCAL],
  lanes: LANES,
  fwmark: 0x5a11,
  offload: { tun: 'uso', udpGso: true, udpGro: true, joinTcp: true, joinUdp: true, rawDirect: true },
})
const sa = (direction: 'inbound' | 'outbound', spi: number, policy: number): SaSpec => ({
  direction,
  protocol: 'esp',
  mode: 'tunnel',
  spi,
  policy,
  encryption: { id: 20, key: Uint8Array.from({ length: 20 }, (_, i) => i * 11) },
  esn: false,
  replayWindow: 4096,
  local: LOCAL,
  remote: PEER,
  udp: { localPort: 4500, remotePort: 4500 },
  localTs: selector(INNER[0]),
  remoteTs: selector(INNER[1]),
  lifetime: {},
})

describe.skipIf(missing)('lanes of one data path', () => {
  let netns: PrivateNetns
  let dataplane: Dataplane | undefined
  let told: [string, string][] = []
  const fds: number[] = []

  beforeAll(() => {
    netns = PrivateNetns.enter()
    netns.ip('link set lo up')
  })
  afterEach(async () => {
    await dataplane?.stop()
    dataplane = undefined
    for (const fd of fds.splice(0)) closeFd(fd)
  })
  afterAll(() => netns.leave())

  const start = async (): Promise<{ dataplane: Dataplane; lanes: readonly LaneThread[] }> => {
    told = []
    const { Dataplane } = (await import(
      compiled('src/dataplane/dataplane')
    )) as typeof import('../../src/dataplane/dataplane.js')
    dataplane = await Dataplane.start({
      ...options('lanes0'),
      engine: 'auto',
      listener: {
        acquire: (policy) => told.push(['acquire', String(policy)]),
        expire: () => undefined,
        ike: () => told.push(['ike', '']),
        refused: (_, reason) => told.push(['refused', reason]),
        pathMtu: () => undefined,
        unknownSpi: () => {},
        packetFrom: () => {},
        unreachable: () => undefined,
        stepBack: (feature, reason) => told.push([feature, reason]),
        fault: (error) => told.push(['fault', error.message]),
      },
    })
    netns.run('sysctl', '-qw', 'net.ipv6.conf.lanes0.disable_ipv6=1')
    netns.ip('link set lanes0 up mtu 1400')
    for (let lane = 0; lane < LANES; lane++)
      dataplane.addPolicy({
        id: lanePolicy(1, lane),
        peer: 'peer',
        child: 'child',
        mode: 'tunnel',
        protocol: 'esp',
        localTs: selector(INNER[0]),
        remoteTs: selector(INNER[1]),
      })
    return { dataplane, lanes: Reflect.get(dataplane, 'lanes') as readonly LaneThread[] }
  }
  async function until(holds: () => boolean): Promise<void> {
    for (let tries = 0; !holds() && tries < 300; tries++) await sleep(10)
  }

  test('no descriptor is two lanes’, but for the ways from one to another', () => {
    const opened = openDescriptors(options('lanes0'))
    fds.push(...opened.fds)
    const owned = opened.lanes.map(({ tun, sockets, inboxFd }) => [
      tun.fd,
      inboxFd,
      ...new Set(sockets.flatMap((s) => [s.fd, s.linkFd].filter((fd) => fd >= 0))),
    ])
    const all = owned.flat()
    expect(opened.lanes).toHaveLength(LANES)
    expect(new Set(all).size).toBe(all.length)
    expect(opened.lanes.map((lane) => lane.outboxFds)).toEqual(
      opened.lanes.map(() => opened.lanes[0]!.outboxFds),
    )
    // Whatever is opened is closed in the end.
    expect(new Set(opened.fds)).toEqual(new Set([...all, ...opened.lanes[0]!.outboxFds]))
  })

  test('a port that a data path shares among its lanes is no other’s', () => {
    fds.push(...openDescriptors(options('lanes0')).fds)
    expect(() => openDescriptors(options('lanes1'))).toThrow(
      expect.objectContaining({ errno: EADDRINUSE, message: expect.stringContaining('UDP port 4500') }),
    )
    // Nothing of the second is left: its device is gone.
    expect(() => netns.ip('link show lanes1')).toThrow()
  })

  test('each counts what comes to it and knows its own SAs only', async () => {
    const { dataplane, lanes } = await start()
    expect(new Set(lanes.map((lane) => lane.counters.buffer)).size).toBe(LANES)
    // The kernel brings this SPI to lane 1, but lane 2 has the SA.
    dataplane.addSa(sa('inbound', 0x1001, lanePolicy(1, 2)))
    const { fd } = openUdpSocket({ local: PEER, port: 4500 })
    fds.push(fd)
    const datagram = (spi: number): Uint8Array => {
      const octets = Buffer.alloc(60, 1)
      octets.writeUInt32BE(spi)
      return octets
    }
    for (let lane = 0; lane < LANES; lane++)
      for (let i = 0; i <= lane; i++) sendDatagram(fd, LOCAL, 4500, datagram(0x5000 + lane))
    for (let i = 0; i < 10; i++) sendDatagram(fd, LOCAL, 4500, datagram(0x1001))
    const unknown = () => lanes.map((lane) => lane.counters.drops(-DROP.UNKNOWN_SPI))
    await until(() => unknown().reduce((a, b) => a + b, 0) === 20)
    expect(unknown()).toEqual([1, 12, 3, 4])
    expect(dataplane.status().drops['unknown-spi']).toBe(20)
    expect(dataplane.status().sas[0]).toMatchObject({ lane: 2, packets: 0 })
    // In its lane it is found.
    dataplane.addSa(sa('inbound', 0x1002, lanePolicy(1, 2)))
    await sleep(50)
    sendDatagram(fd, LOCAL, 4500, datagram(0x1002))
    await until(() => lanes[2]!.counters.drops(-DROP.BAD_ICV) === 1)
    expect(lanes.map((lane) => lane.counters.drops(-DROP.BAD_ICV))).toEqual([0, 0, 1, 0])
  })

  test('all know what one has found out about the device that they share', async () => {
    const { dataplane, lanes } = await start()
    for (const lane of [0, 1]) dataplane.addSa(sa('outbound', 0x2000 + lane, lanePolicy(1, lane)))
    await sleep(50)
    const slab = nativeSlab(4096)
    const spoil = async (lane: number): Promise<void> => {
      const { outboxFds } = Reflect.get(lanes[lane]!, 'options') as LaneThreadOptions
      const inbox = new NativeTunQueue(outboxFds[lane]!, true, slab)
      const at = SCRATCH_LEN + 64
      // TCP whose header has no length.
      const packet = Buffer.alloc(1000)
      packet.writeUInt16BE(0x4500, 0)
      packet.writeUInt16BE(1000, 2)
      packet[8] = 64
      packet[9] = 6
      packet.set(INNER[0], 12)
      packet.set(INNER[1], 16)
      slab.bytes.set(packet, at)
      const before = lanes[lane]!.counters.drops(-DROP.UNSEGMENTABLE)
      for (let i = 0; i < 4; i++) {
        writeVnetHeader(slab.bytes, at - VNET_HDR_LEN, VNET_GSO_TCPV4, 40, 500, 20, 16)
        expect(inbox.write(at - VNET_HDR_LEN, VNET_HDR_LEN + 1000)).toBeGreaterThan(0)
      }
      await until(() => lanes[lane]!.counters.drops(-DROP.UNSEGMENTABLE) === before + 4)
      await sleep(50)
    }
    const { features } = dataplane.status()
    const ladder = (['tunUso', 'tunTso', 'tunChecksum'] as const).filter((name) => features[name])
    expect(ladder.length).toBeGreaterThanOrEqual(2)
    for (const [i] of ladder.entries()) await spoil(i % 2)
    expect(told.map(([name]) => name)).toEqual(ladder)
    const offloads = netns.run('ethtool', '-k', 'lanes0')
    expect(offloads).toMatch(/^tcp-segmentation-offload: off/m)
    expect(offloads).toMatch(/^tx-checksumming: off/m)
  })

  test('a lane that ends by itself is a fault of all of them, and stopping does not wait for it', async () => {
    const { dataplane, lanes } = await start()
    await (Reflect.get(lanes[2]!, 'worker') as Worker).terminate()
    await until(() => told.length > 0)
    expect(told).toEqual([['fault', expect.stringContaining('lane 2 ended by itself')]])
    const from = performance.now()
    await dataplane.stop()
    expect(performance.now() - from).toBeLessThan(5_000)
    expect(() => netns.ip('link show lanes0')).toThrow()
  })
})
