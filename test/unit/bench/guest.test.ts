import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FEW_DIRTY, Guest, isTimeToStop, ROUNDS_MAX } from '../../../bench/migration/guest.js'
import { Numbers } from '../../../bench/programs/udp-numbering.js'
import { growthOverLastHalf } from '../../../bench/rig/soak.js'

describe('the migrated guest', () => {
  test('what is dirty is what was written to since it was last taken', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 0, max: 3000 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
        (pages, dirtyRate, steps) => {
          const guest = new Guest({ pages, dirtyRate, workingSet: Math.max(1, pages >> 1) })
          const list = new Uint32Array(pages)
          let written = 0
          let seconds = 0
          for (const step of steps) {
            seconds += step
            const twin = new Set<number>()
            guest.runUntil(seconds, (page) => {
              twin.add(page)
              written++
            })
            expect(written).toBe(Math.floor(seconds * dirtyRate))
            expect(guest.dirtyCount).toBe(twin.size)
            const n = guest.takeDirty(list)
            expect([...list.subarray(0, n)]).toEqual([...twin].sort((a, b) => a - b))
            expect(Math.max(0, ...twin)).toBeLessThan(Math.max(1, pages >> 1))
            expect(guest.takeDirty(list)).toBe(0)
          }
        },
      ),
    )
  })

  test('reaches all of its working set', () => {
    const guest = new Guest({ pages: 256, dirtyRate: 10_000, workingSet: 128 })
    guest.runUntil(1)
    expect(guest.dirtyCount).toBe(128)
  })

  test('is stopped when little is left, or after the last round', () => {
    expect(isTimeToStop(1, FEW_DIRTY)).toBe(false)
    expect(isTimeToStop(1, FEW_DIRTY - 1)).toBe(true)
    expect(isTimeToStop(ROUNDS_MAX, 1e6)).toBe(true)
  })
})

test('numbered datagrams: received, repeated and overtaken as a plain list has them', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(60), fc.nat(300_000)), { maxLength: 200 }), (sequence) => {
      const numbers = new Numbers()
      for (const n of sequence) numbers.add(n)
      const fresh = sequence.filter((n, i) => sequence.indexOf(n) === i)
      expect(numbers.received).toBe(fresh.length)
      expect(numbers.duplicates).toBe(sequence.length - fresh.length)
      const late = fresh.filter((n, i) => fresh.slice(0, i).some((before) => before > n))
      expect(numbers.reordered).toBe(late.length)
    }),
  )
})

test('growth over the last half leaves the first half and single samples out of account', () => {
  const samples = Array.from({ length: 100 }, (_, i) => (i < 50 ? i : 100))
  expect(growthOverLastHalf(samples)).toBe(0)
  expect(growthOverLastHalf(samples.with(99, 500))).toBe(0)
  expect(growthOverLastHalf(samples.map((_, i) => i))).toBe(40)
})
