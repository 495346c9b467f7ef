import { afterEach, describe, expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { HandOver } from '../../../src/dataplane/hand-over.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { DROP } from '../../../src/ipsec/drop.js'
import { closeFd } from '../../../src/net/fd.js'
import { openPacketQueue } from '../../../src/net/packet-queue.js'
import { NativeTunQueue } from '../../../src/net/tun-queue.js'
import { VNET_HDR_LEN } from '../../../src/wire/virtio-net-hdr.js'

const POLICY = 65_537
const AT = SCRATCH_LEN + 64
/** Where the other lane reads to. */
const THERE = SCRATCH_LEN + 80_000

describe.each([true, false])('packets for another lane, vnet header %s', (vnetHeader) => {
  const header = vnetHeader ? VNET_HDR_LEN : 0
  const fds: number[] = []
  afterEach(() => {
    for (const fd of fds.splice(0)) closeFd(fd)
  })

  const lanes = () => {
    const slab = nativeSlab(200_000)
    const counters = new Counters()
    const queues = [openPacketQueue(), openPacketQueue()]
    fds.push(...queues.flatMap((q) => [q.inFd, q.outFd]))
    const ends = (which: 'inFd' | 'outFd') =>
      queues.map((q) => new NativeTunQueue(q[which], vnetHeader, slab))
    const inboxes = ends('outFd')
    const packet = (length: number, fill: number): number => {
      slab.bytes.fill(0xee, AT - VNET_HDR_LEN, AT)
      slab.bytes.fill(fill, AT, AT + length)
      return length
    }
    const read = (lane: number): Buffer | undefined => {
      const n = inboxes[lane]!.read(THERE, 70_000)
      return n <= 0 ? undefined : Buffer.from(slab.bytes.slice(THERE, THERE + n))
    }
    return { slab, counters, read, packet, handOver: new HandOver(slab, counters, ends('inFd')) }
  }

  test('only those of a policy that was given away, to the lane that has it, whole and in order', () => {
    const { handOver, counters, read, packet } = lanes()
    expect(handOver.take(POLICY, AT, packet(100, 1), false)).toBe(false)
    handOver.set(POLICY, 1)
    expect(handOver.take(POLICY + 1, AT, packet(100, 1), false)).toBe(false)
    for (let i = 1; i <= 200; i++) expect(handOver.take(POLICY, AT, packet(20 + i, i), false)).toBe(true)
    expect(read(0)).toBeUndefined()
    for (let i = 1; i <= 200; i++) {
      const got = read(1)!
      // The checksum of what is no longer cut is complete: the header that came with it says something else.
      expect(got.subarray(0, header)).toEqual(Buffer.alloc(header))
      expect(got.subarray(header)).toEqual(Buffer.alloc(20 + i, i))
    }
    expect(read(1)).toBeUndefined()
    expect(counters.get('handedOver')).toBe(200)

    handOver.set(POLICY, undefined)
    expect(handOver.take(POLICY, AT, packet(100, 1), false)).toBe(false)
    expect(read(1)).toBeUndefined()
  })

  test('a large packet keeps the header that says how it is to be cut', () => {
    const { handOver, read, packet } = lanes()
    handOver.set(POLICY, 0)
    handOver.take(POLICY, AT, packet(65_535, 7), true)
    const got = read(0)!
    expect(got.subarray(0, header)).toEqual(Buffer.alloc(header, 0xee))
    expect(got.length).toBe(header + 65_535)
    expect(got.subarray(header).every((octet) => octet === 7)).toBe(true)
  })

  test('a lane that reads nothing costs packets, which are counted, and no more memory than the queue has', () => {
    const { handOver, counters, read, packet } = lanes()
    handOver.set(POLICY, 1)
    const length = packet(60_000, 3)
    for (let i = 0; i < 300; i++) expect(handOver.take(POLICY, AT, length, true)).toBe(true)
    const busy = counters.drops(-DROP.LANE_BUSY)
    expect(busy).toBeGreaterThan(100)
    expect(counters.get('handedOver')).toBe(300 - busy)
    let waiting = 0
    while (read(1)) waiting++
    expect(waiting).toBe(300 - busy)
    // It goes on when there is room again.
    handOver.take(POLICY, AT, length, true)
    expect(read(1)?.length).toBe(header + length)
  })
})
