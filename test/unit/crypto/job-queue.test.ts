import { beforeEach, describe, expect, test } from 'vitest'
import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { isLow, JobQueue, type JobTemplate } from '../../../src/crypto/engines/ipsec-mb-queue.js'
import type { ImbJobs, IpsecMb } from '../../../src/ffi/ipsec-mb.js'
import { JOB_STATUS, JOB_TAG, STATUS_COMPLETED } from '../../../src/ffi/layout/imb-job.js'
import { NativeMemory, setWord64 } from '../../../src/ffi/native-memory.js'
import { nativeSlab } from '../../../src/ffi/slab.js'

// What becomes of packets when the library does not do what it promised. It is played by a twin of its ring of jobs, which
// "seals" nothing and "computes" an ICV of zeros.

const JOB_LEN = 216
const RING = 16
const slab = nativeSlab(65_536)
const TEXT = SCRATCH_LEN + 256
const ICV = 16

class Ring implements ImbJobs {
  readonly memory = new NativeMemory(RING * JOB_LEN)
  readonly jobLength = JOB_LEN
  readonly burst = 8
  log: string[] = []
  /** How many jobs a submission does, and a flush. */
  does = Number.POSITIVE_INFINITY
  flushes = Number.POSITIVE_INFINITY
  free = Number.POSITIVE_INFINITY
  status = STATUS_COMPLETED
  resetFails = false
  private first = 0
  private given: number[] = []

  next(count: number, jobs: number): number {
    const n = Math.min(count, this.free)
    this.given = Array.from({ length: n }, (_, i) => (this.first + i) % RING)
    const words = pointersAt(jobs)
    for (const [i, job] of this.given.entries()) setWord64(words, 2 * i, this.memory.address + job * JOB_LEN)
    return n
  }

  submit(count: number): number {
    this.log.push(`checked ${count}`)
    return this.start(count)
  }

  submitUnchecked(count: number): number {
    this.log.push(`unchecked ${count}`)
    return this.start(count)
  }

  private start(count: number): number {
    for (const job of this.given.slice(0, count))
      this.memory.words[(job * JOB_LEN + JOB_STATUS) >>> 2] = this.status
    this.first = (this.first + count) % RING
    return Math.min(count, this.does)
  }

  flush(count: number): number {
    this.log.push(`flush ${count}`)
    return Math.min(count, this.flushes)
  }

  prepare(): void {}

  reset(): void {
    this.log.push('reset')
    this.memory.bytes.fill(0)
    this.first = 0
    if (this.resetFails) throw new Error('no')
  }
}

/** The queue's memory of pointers, which the twin finds by its address. */
let pointers: { address: number; words: Uint32Array }
const pointersAt = (address: number): Uint32Array => {
  expect(address).toBe(pointers.address)
  return pointers.words
}

let ring: Ring
let queue: JobQueue
let template: JobTemplate

beforeEach(() => {
  ring = new Ring()
  queue = new JobQueue({ newJobs: () => ring } as unknown as IpsecMb, slab, 64)
  const own = (queue as unknown as { pointers: NativeMemory }).pointers
  pointers = { address: own.address, words: own.words }
  template = queue.shape({ cipher: 1, hash: 1, direction: 1, order: 1, fields: [] })
})

const placeOf = (i: number): number => TEXT + i * 128
function seal(i: number): number {
  slab.bytes.fill(7, placeOf(i), placeOf(i) + 100 + ICV)
  return queue.begin(template) < 0 ? -1 : queue.sealing(placeOf(i), 100, placeOf(i) + 100, ICV)
}
function open(i: number): number {
  // The twin's ICV: all zero.
  slab.bytes.fill(0, placeOf(i) + 100, placeOf(i) + 100 + ICV)
  const job = queue.begin(template)
  if (job < 0) return -1
  queue.words[job + (JOB_TAG >>> 2)] = queue.tagAddress
  return queue.opening(placeOf(i) + 100, ICV)
}
const written = (i: number): Set<number> => new Set(slab.bytes.subarray(placeOf(i), placeOf(i) + 100 + ICV))

// Addresses fill one word where the library exists.
describe.skipIf(process.arch !== 'x64')('the queue of jobs', () => {
  test('the capacity is no more than the library takes', () => {
    expect(queue.capacity).toBe(8)
  })

  test('only the first run of a shape is looked at by the library', () => {
    seal(0)
    queue.run()
    seal(0)
    seal(1)
    queue.run()
    const other = queue.shape({ cipher: 2, hash: 1, direction: 1, order: 1, fields: [] })
    seal(0)
    queue.begin(other)
    queue.sealing(placeOf(1), 100, placeOf(1) + 100, ICV)
    queue.run()
    expect(ring.log).toEqual(['checked 1', 'unchecked 2', 'checked 2'])
  })

  test('what the lanes keep is flushed', () => {
    ring.does = 1
    ring.flushes = 2
    for (const i of [0, 1, 2, 3]) seal(i)
    queue.run()
    expect(ring.log).toEqual(['checked 4', 'flush 3', 'flush 1'])
    expect([0, 1, 2, 3].every((i) => queue.done(i))).toBe(true)
  })

  describe.each([
    ['jobs that never come back', { does: 1, flushes: 0 }, true],
    ['a refused burst', { does: 0, flushes: 0 }, true],
    ['a job that failed', { status: 4 }, false],
  ] as const)('%s', (_, fault, restarts) => {
    test('nothing gets out, nothing is authentic', () => {
      Object.assign(ring, fault)
      expect([seal(0), open(1), seal(2)]).toEqual([0, 1, 2])
      queue.run()
      expect([0, 1, 2].map((i) => queue.done(i))).toEqual([false, false, false])
      expect([written(0), written(2)]).toEqual([new Set([0]), new Set([0])])
      expect(ring.log.includes('reset')).toBe(restarts)
    })

    test('the next run is as good as any', () => {
      Object.assign(ring, fault)
      seal(0)
      queue.run()
      Object.assign(ring, { does: 9, status: STATUS_COMPLETED })
      expect([seal(0), open(1)]).toEqual([0, 1])
      queue.run()
      expect([queue.done(0), queue.done(1)]).toEqual([true, true])
      expect(written(0)).toEqual(new Set([7]))
    })
  })

  test('a status that an earlier packet left does not count', () => {
    for (let i = 0; i < 2 * RING; i++) {
      seal(0)
      queue.run()
      expect(queue.done(0)).toBe(true)
    }
    const { words } = ring.memory
    ring.submitUnchecked = (count) => count
    seal(0)
    queue.run()
    expect(queue.done(0)).toBe(false)
    expect(words).toBe(queue.words)
  })

  test('when the library has no jobs to give it starts again, and takes packets afterwards', () => {
    ring.free = 0
    expect(seal(0)).toBe(-1)
    expect(ring.log).toEqual(['reset'])
    ring.free = 99
    expect(seal(0)).toBe(0)
  })

  test('when it cannot start again no packet is taken any more', () => {
    ring.resetFails = true
    ring.does = ring.flushes = 0
    seal(0)
    queue.run()
    ring.does = 9
    expect([seal(0), open(1)]).toEqual([-1, -1])
  })

  test('only memory below 2^32 has a queue', () => {
    expect(isLow(slab)).toBe(true)
    expect(isLow({ ...slab, address: 0 })).toBe(false)
    expect(isLow({ ...slab, address: 2 ** 32 - 10 })).toBe(false)
  })
})
