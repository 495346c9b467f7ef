import { expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN } from '../../../src/bytes/slab.js'
import {
  PENDING_PACKET_MAX,
  PENDING_PER_POLICY,
  PendingPackets,
  pendingRoom,
} from '../../../src/dataplane/pending.js'

const PACKET = SCRATCH_LEN + pendingRoom

function place() {
  const slab = plainSlab(pendingRoom + 20_000)
  const pending = new PendingPackets(slab, SCRATCH_LEN)
  const add = (policy: number, mark: number, now = 0, length = 100): boolean => {
    slab.bytes.fill(mark, PACKET, PACKET + length)
    return pending.add(policy, PACKET, length, now)
  }
  const release = (policy: number): number[] => {
    const marks: number[] = []
    pending.release(policy, (at, length) => {
      expect(slab.bytes.subarray(at, at + length).every((v) => v === slab.bytes[at])).toBe(true)
      marks.push(slab.bytes[at]!)
    })
    return marks
  }
  return { pending, add, release }
}

test('packets of a policy come out in order, once, and no other policy gets them', () => {
  const { add, release } = place()
  expect([add(5, 1), add(6, 2), add(5, 3)]).toEqual([true, true, true])
  expect(release(5)).toEqual([1, 3])
  expect(release(5)).toEqual([])
  expect(release(6)).toEqual([2])
})

test('a full place refuses the newest packet', () => {
  const { add, release } = place()
  const taken = Array.from({ length: PENDING_PER_POLICY + 1 }, (_, i) => add(1, i))
  expect(taken).toEqual([...new Array<boolean>(PENDING_PER_POLICY).fill(true), false])
  expect(release(1)).toEqual(Array.from({ length: PENDING_PER_POLICY }, (_, i) => i))
})

test('policies are bounded, and so is a packet', () => {
  const { add } = place()
  for (let policy = 0; policy < 16; policy++) expect(add(policy, 1)).toBe(true)
  expect(add(16, 1)).toBe(false)
  expect(add(0, 1, 0, PENDING_PACKET_MAX + 1)).toBe(false)
})

test('what waited too long is forgotten and counted', () => {
  const { pending, add, release } = place()
  add(1, 1, 0)
  add(1, 2, 500)
  add(2, 3, 9_000)
  expect(pending.expire(9_999)).toBe(0)
  expect(pending.expire(10_000)).toBe(2)
  expect(release(1)).toEqual([])
  expect(release(2)).toEqual([3])
})
