import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DeadlineTimer } from '../../../src/daemon/deadline-timer.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A timer over a list of deadlines that are due one after another. */
function timerOver(deadlines: number[]) {
  const ticks: number[] = []
  const timer = new DeadlineTimer(
    () => deadlines[0],
    (now) => {
      ticks.push(now)
      while (deadlines[0] !== undefined && deadlines[0] <= now) deadlines.shift()
    },
  )
  return { timer, ticks, start: performance.now() }
}

test('ticks soon after each deadline, on a grid, and then no more', () => {
  const now = performance.now()
  const { timer, ticks } = timerOver([now + 100, now + 250])
  timer.arm()
  vi.advanceTimersByTime(99)
  expect(ticks).toEqual([])
  vi.advanceTimersByTime(1)
  expect(ticks).toEqual([now + 100])
  vi.advanceTimersByTime(1_000_000)
  expect(ticks).toEqual([now + 100, now + 260])
  expect(vi.getTimerCount()).toBe(0)
})

test('a deadline that moved is found when armed again', () => {
  const now = performance.now()
  const deadlines = [now + 10_000]
  const { timer, ticks } = timerOver(deadlines)
  timer.arm()
  deadlines.unshift(now + 5)
  timer.arm()
  vi.advanceTimersByTime(20)
  expect(ticks).toEqual([now + 20])
  timer.stop()
})

test('a deadline that is past ticks at once, one far away in steps that setTimeout can hold', () => {
  const now = performance.now()
  const past = timerOver([now - 5])
  past.timer.arm()
  vi.advanceTimersByTime(1)
  expect(past.ticks).toHaveLength(1)
  const far = timerOver([now + 2 ** 40])
  far.timer.arm()
  vi.advanceTimersByTime(60_000)
  expect(far.ticks).toHaveLength(1)
  far.timer.stop()
})

test('a deadline that moves within one step of the grid costs no timer', () => {
  const now = performance.now()
  const deadlines = [now + 65]
  const { timer, ticks } = timerOver(deadlines)
  timer.arm()
  const set = vi.spyOn(globalThis, 'setTimeout')
  for (const at of [62, 79, 70]) {
    deadlines[0] = now + at
    timer.arm()
  }
  expect(set).not.toHaveBeenCalled()
  set.mockRestore()
  vi.advanceTimersByTime(80)
  expect(ticks).toEqual([now + 80])
})

test('stopped is stopped', () => {
  const { timer, ticks } = timerOver([performance.now() + 1])
  timer.arm()
  timer.stop()
  timer.arm()
  vi.advanceTimersByTime(100)
  expect(ticks).toEqual([])
})
