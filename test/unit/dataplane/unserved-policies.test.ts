import { expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { Counters } from '../../../src/dataplane/counters.js'
import { HandOver } from '../../../src/dataplane/hand-over.js'
import { planLane } from '../../../src/dataplane/lane-memory.js'
import type { FromLane } from '../../../src/dataplane/messages.js'
import { UnservedPolicies } from '../../../src/dataplane/unserved-policies.js'
import { DROP } from '../../../src/ipsec/drop.js'
import type { TunQueue } from '../../../src/net/types.js'

const POLICY = 65_537
const LENGTH = 100

function scene() {
  const memory = planLane([])
  const slab = plainSlab(memory.length)
  const counters = new Counters()
  const told: FromLane[] = []
  /** The way to lane 1: the first octet behind the vnet header of each packet that went there. */
  const there: number[] = []
  const outbox: TunQueue = {
    ...{ fd: -1, vnetHeader: true, read: () => 0, writev: () => 0 },
    write(at, length) {
      expect(length).toBe(10 + LENGTH)
      expect(at + 10).toBe(memory.tunPacket)
      return there.push(slab.bytes[at + 10]!)
    },
  }
  const handOver = new HandOver(slab, counters, [outbox, outbox])
  const unserved = new UnservedPolicies(slab, memory, counters, handOver, (m) => told.push(m))
  const hold = (mark: number, nowMs: number, large = false, policy = POLICY): void => {
    slab.bytes.fill(mark, memory.tunPacket, memory.tunPacket + LENGTH)
    unserved.hold(policy, memory.tunPacket, LENGTH, large, nowMs)
  }
  const served = (policy = POLICY): number[] => {
    const marks: number[] = []
    unserved.served(policy, (at) => marks.push(slab.bytes[at]!))
    return marks
  }
  const dropped = (code: number): number => counters.drops(-code)
  return { unserved, told, there, hold, served, dropped }
}

const acquire = { op: 'acquire', policy: POLICY }

test('an SA is asked for once a second and policy, and the packets wait for it', () => {
  const { told, hold, served } = scene()
  hold(1, 0)
  hold(2, 999)
  expect(told).toEqual([acquire])
  hold(3, 1000)
  expect(told).toEqual([acquire, acquire])
  hold(9, 1000, false, 5)
  expect(told.at(-1)).toEqual({ op: 'acquire', policy: 5 })
  expect(served()).toEqual([1, 2, 3])
  expect(served()).toEqual([])
})

test('a policy that has had its SA, or is gone and comes again, is asked for at once', () => {
  const { unserved, told, hold, served } = scene()
  hold(1, 0)
  served()
  hold(2, 1)
  unserved.forget(POLICY)
  hold(3, 2)
  expect(told).toEqual([acquire, acquire, acquire])
})

test('large packets do not wait, and nothing waits for ever', () => {
  const { unserved, hold, served, dropped } = scene()
  hold(1, 0, true)
  expect(dropped(DROP.NO_SA)).toBe(1)
  hold(2, 0)
  unserved.expire(9_999)
  expect(dropped(DROP.PENDING_EXPIRED)).toBe(0)
  unserved.expire(10_000)
  expect(dropped(DROP.PENDING_EXPIRED)).toBe(1)
  expect(served()).toEqual([])
})

test('where another lane has the SA, what waited goes there in front of what comes', () => {
  const { unserved, told, there, hold, served } = scene()
  hold(1, 0)
  hold(2, 0)
  unserved.handOverTo(POLICY, 1)
  hold(3, 1)
  hold(4, 1, true)
  expect(there).toEqual([1, 2, 3, 4])
  expect(told).toEqual([acquire])
  unserved.handOverTo(POLICY, undefined)
  hold(5, 2)
  expect(told).toEqual([acquire, acquire])
  expect(served()).toEqual([5])
})
