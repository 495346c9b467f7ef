import { expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { coalescerHeaderRoom, SEGMENTS_MAX } from '../../../src/dataplane/coalescing.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { FAULTS_MAX } from '../../../src/dataplane/offload-watch.js'
import { TunWriter } from '../../../src/dataplane/tun-writer.js'
import { DROP } from '../../../src/ipsec/drop.js'
import type { IoVectors, TunQueue } from '../../../src/net/types.js'
import { buildPacket } from '../../reference/tcp-packets.js'

/** A writer over a device in memory, which answers joined writes with `joined` when that is set. */
function writer(settings: { vnetHeader?: boolean; joinTcp?: boolean; joinUdp?: boolean } = {}) {
  const slab = plainSlab(200_000)
  const told: string[] = []
  const parts: [number, number][] = []
  const vectors: IoVectors = {
    capacity: SEGMENTS_MAX + 1,
    set: (i, at, length) => {
      parts[i] = [at, length]
    },
  }
  const device = {
    joined: undefined as number | undefined,
    writes: [] as Uint8Array[],
    packets: [] as Uint8Array[],
  }
  const vnetHeader = settings.vnetHeader ?? true
  const tun: TunQueue = {
    fd: -1,
    vnetHeader,
    read: () => 0,
    write: (at, length) => {
      device.writes.push(slab.bytes.slice(at, at + length))
      device.packets.push(slab.bytes.slice(at + (vnetHeader ? 10 : 0), at + length))
      return length
    },
    writev: (_, count) => {
      if (device.joined !== undefined) return device.joined
      const whole = Buffer.concat(parts.slice(0, count).map(([at, n]) => slab.bytes.slice(at, at + n)))
      device.writes.push(Uint8Array.from(whole))
      return whole.length
    },
  }
  const counters = new Counters()
  const w = new TunWriter(slab, tun, counters, {
    joinTcp: settings.joinTcp ?? true,
    joinUdp: settings.joinUdp ?? true,
    headers: SCRATCH_LEN,
    vectors,
    stepBack: (feature) => told.push(feature),
  })
  const send = (packets: readonly Uint8Array[]): void => {
    let at = SCRATCH_LEN + coalescerHeaderRoom + 64
    for (const p of packets) {
      slab.bytes.set(p, at)
      w.add(at, p.length)
      at += p.length + 64
    }
    w.flush()
  }
  return { send, device, told, counters }
}

const train = (protocol: 6 | 17): Uint8Array[] =>
  Array.from({ length: 5 }, (_, i) =>
    buildPacket({
      version: 4,
      protocol,
      sourcePort: 4000,
      seq: i * 100,
      flags: 0x10,
      id: i,
      dontFragment: true,
      options: new Uint8Array(),
      payload: new Uint8Array(100).fill(i),
    }),
  )

test('a train is one write, and counted as its packets', () => {
  const { send, device, counters } = writer()
  send(train(17))
  expect(device.writes.length).toBe(1)
  expect(counters.get('tunWrites')).toBe(1)
  expect(counters.get('tunWritePackets')).toBe(5)
  expect(counters.get('tunWriteOctets')).toBe(28 + 500)
})

test('without a vnet header nothing is joined and nothing stands in front of a packet', () => {
  const { send, device } = writer({ vnetHeader: false })
  send([...train(6), ...train(17)])
  expect(device.writes).toEqual([...train(6), ...train(17)])
})

test.each([
  [6, 'joinTcp', 17],
  [17, 'joinUdp', 6],
] as const)(
  'joined writes of protocol %i are refused: nothing is lost, and %s goes off alone',
  (protocol, feature, other) => {
    const { send, device, told, counters } = writer()
    device.joined = -22
    for (let i = 1; i <= FAULTS_MAX; i++) {
      expect(told).toEqual([])
      send(train(protocol))
      expect(device.packets.splice(0)).toEqual(train(protocol))
    }
    expect(told).toEqual([feature])
    expect(counters.drops(-DROP.TUN_REFUSED)).toBe(0)

    device.joined = undefined
    device.writes.length = 0
    send(train(protocol))
    expect(device.writes.length).toBe(5)
    send(train(other))
    expect(device.writes.length).toBe(6)
  },
)

test('refusals in between which a joined write is taken do not add up', () => {
  const { send, device, told } = writer()
  for (let i = 0; i < 5 * FAULTS_MAX; i++) {
    device.joined = i % FAULTS_MAX === 0 ? undefined : -22
    send(train(6))
  }
  expect(told).toEqual([])
})

test('a full or broken device costs the packets and nothing else', () => {
  const { send, device, told, counters } = writer()
  for (const result of [0, -5, -12]) {
    device.joined = result
    for (let i = 0; i < FAULTS_MAX; i++) send(train(6))
  }
  expect(device.packets).toEqual([])
  expect(told).toEqual([])
  expect(counters.drops(-DROP.TUN_REFUSED)).toBe(3 * FAULTS_MAX * 5)
})
