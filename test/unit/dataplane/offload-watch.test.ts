import { describe, expect, test } from 'vitest'
import {
  FAULTS_MAX,
  FaultCount,
  JoinedSlotWatch,
  SLOTS_WINDOW,
} from '../../../src/dataplane/offload-watch.js'

describe('failures in a row', () => {
  test('the last one too many is told once', () => {
    const count = new FaultCount()
    const answers = Array.from({ length: FAULTS_MAX + 3 }, () => count.failed())
    expect(answers.indexOf(true)).toBe(FAULTS_MAX - 1)
    expect(answers.filter(Boolean).length).toBe(1)
  })

  test('a success begins anew', () => {
    const count = new FaultCount()
    for (let i = 0; i < 100; i++) {
      expect(count.failed()).toBe(false)
      if (i % (FAULTS_MAX - 1) === 0) count.succeeded()
    }
  })
})

describe('joined datagrams', () => {
  const watched = (slots: readonly boolean[]): boolean => {
    const watch = new JoinedSlotWatch()
    for (const bad of slots) watch.slot(bad)
    return watch.guilty
  }

  test('spoilt more often than not: given up', () => {
    expect(watched(Array.from({ length: SLOTS_WINDOW }, (_, i) => i % 5 !== 0))).toBe(true)
  })

  test('half of them: not yet, however long it goes on', () => {
    expect(watched(Array.from({ length: SLOTS_WINDOW * 50 }, (_, i) => i % 2 === 0))).toBe(false)
  })

  test('a few are not enough to tell', () => {
    expect(watched(Array.from({ length: SLOTS_WINDOW - 1 }, () => true))).toBe(false)
  })

  test('what was said is kept', () => {
    const slots = [true, false].flatMap((bad) => Array.from({ length: SLOTS_WINDOW * 2 }, () => bad))
    expect(watched(slots)).toBe(true)
  })
})
