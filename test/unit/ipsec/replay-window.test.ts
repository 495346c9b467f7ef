import { describe, expect, test } from 'vitest'
import { REPLAY_WINDOW_MAX, ReplayWindow } from '../../../src/ipsec/replay-window.js'
import { verdict } from './fixtures.js'

const MAX = 0xffff_ffff

/** Checks and, when new, commits. */
function take(w: ReplayWindow, low: number): string | number {
  const v = w.check(low)
  if (v === 0) w.commit()
  return verdict(v)
}

/** Brings a window to (high, low) as authentic packets would. */
function moveTo(w: ReplayWindow, high: number, low: number): void {
  for (let h = 0; h < high; h++) {
    expect(take(w, 0x8000_0000)).toBe(0)
    expect(take(w, MAX)).toBe(0)
    expect(take(w, 0)).toBe(0)
  }
  if (low > 0x8000_0000) expect(take(w, 0x8000_0000)).toBe(0)
  if (low > 0) expect(take(w, low)).toBe(0)
  expect([w.topHigh, w.topLow]).toEqual([high, low])
}

describe('without extended numbers', () => {
  test('number 0 is never new', () => expect(verdict(new ReplayWindow(64, false).check(0))).toBe('REPLAYED'))

  test('each number once, in any order inside the window', () => {
    const w = new ReplayWindow(64, false)
    for (const n of [5, 3, 64, 1, 2, 4]) expect(take(w, n)).toBe(0)
    for (const n of [5, 3, 64, 1, 2, 4]) expect(take(w, n)).toBe('REPLAYED')
    expect(take(w, 65)).toBe(0)
    // 1 lies 64 behind 65: just outside.
    expect(take(w, 1)).toBe('TOO_OLD')
    expect(take(w, 2)).toBe('REPLAYED')
    expect(take(w, 6)).toBe(0)
  })

  test('a check without commit changes nothing', () => {
    const w = new ReplayWindow(32, false)
    expect(take(w, 10)).toBe(0)
    expect(w.check(MAX)).toBe(0)
    expect(w.topLow).toBe(10)
    expect(take(w, 11)).toBe(0)
  })

  test('a jump over more than the whole window forgets everything before', () => {
    const w = new ReplayWindow(64, false)
    for (let n = 1; n <= 200; n++) expect(take(w, n)).toBe(0)
    expect(take(w, 1_000_000)).toBe(0)
    for (let n = 999_937; n < 1_000_000; n++) expect(take(w, n)).toBe(0)
    expect(take(w, 999_936)).toBe('TOO_OLD')
  })

  test('there is nothing behind 2^32 - 1', () => {
    const w = new ReplayWindow(64, false)
    expect(take(w, MAX)).toBe(0)
    expect(take(w, MAX)).toBe('REPLAYED')
    expect(take(w, 0)).toBe('TOO_OLD')
    expect(take(w, 1)).toBe('TOO_OLD')
    expect(w.high).toBe(0)
  })
})

describe('with extended numbers', () => {
  test('the low half wraps and the high half follows', () => {
    const w = new ReplayWindow(64, true)
    moveTo(w, 0, MAX - 1)
    expect(take(w, MAX)).toBe(0)
    expect(take(w, 0)).toBe(0)
    expect([w.topHigh, w.topLow]).toEqual([1, 0])
    expect(take(w, 1)).toBe(0)
    // From before the wrap: inferred with the old high half.
    expect(verdict(w.check(MAX))).toBe('REPLAYED')
    expect(w.high).toBe(0)
    expect(take(w, MAX - 2)).toBe(0)
    expect(w.high).toBe(0)
    expect(take(w, MAX - 2)).toBe('REPLAYED')
    expect([w.topHigh, w.topLow]).toEqual([1, 1])
  })

  test('a low half left of the window belongs to the next high half', () => {
    const w = new ReplayWindow(64, true)
    moveTo(w, 2, 1000)
    expect(w.check(1000 - 63)).toBe(0)
    expect(w.high).toBe(2)
    expect(w.check(1000 - 64)).toBe(0)
    expect(w.high).toBe(3)
  })

  test('before the first packet there is no high half below zero', () => {
    const w = new ReplayWindow(64, true)
    expect(verdict(w.check(MAX))).toBe('TOO_OLD')
    expect(verdict(w.check(0))).toBe('REPLAYED')
    expect(take(w, 1)).toBe(0)
    expect(verdict(w.check(MAX - 5))).toBe('TOO_OLD')
    // Far enough not to look like a late one.
    expect(w.check(0xffff_ff00)).toBe(0)
  })

  test('no high half above 2^32 - 1', () => {
    const w = new ReplayWindow(32, true)
    w.startAt(MAX, 5000)
    expect(verdict(w.check(1))).toBe('TOO_OLD')
    expect(take(w, 5001)).toBe(0)
    expect(w.high).toBe(MAX)
  })

  test('the window is exact on both sides of a wrap, at sizes of one word and of many', () => {
    for (const size of [32, 64, 96, 4096]) {
      const w = new ReplayWindow(size, true)
      moveTo(w, 1, 7)
      const left = 7 - size + 1 + 2 ** 32
      expect(take(w, left)).toBe(0)
      expect(w.high).toBe(0)
      expect(take(w, left)).toBe('REPLAYED')
      // One further left is taken for the far future.
      expect(w.check(left - 1)).toBe(0)
      expect(w.high).toBe(1)
    }
  })
})

test('a window can start in the middle of an SA', () => {
  const w = new ReplayWindow(64, true)
  w.startAt(7, 100)
  expect(take(w, 100)).toBe('REPLAYED')
  expect(take(w, 99)).toBe(0)
  expect(w.high).toBe(7)
  expect(take(w, 101)).toBe(0)
})

test('size 0 means every number is new', () => {
  const w = new ReplayWindow(0, false)
  expect(take(w, 5)).toBe(0)
  expect(take(w, 5)).toBe(0)
  expect(take(w, 0)).toBe(0)
})

test('sizes that are no multiple of 32 or too large are refused', () => {
  for (const size of [1, 33, -32, 64.5, REPLAY_WINDOW_MAX + 32])
    expect(() => new ReplayWindow(size, false)).toThrow(/replay window/)
})
