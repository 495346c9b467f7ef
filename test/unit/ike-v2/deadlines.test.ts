import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deadlines } from '../../../src/ike/deadlines.js'

test('the next deadline and what is due, as a list would have it', () => {
  const step = fc.record({
    item: fc.integer({ min: 0, max: 20 }),
    at: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 0, max: 50 }), (steps, now) => {
      const heap = new Deadlines<number>()
      const list = new Map<number, number>()
      for (const { item, at } of steps) {
        heap.set(item, at)
        if (at === undefined) list.delete(item)
        else list.set(item, at)
        expect(heap.next()).toBe(list.size === 0 ? undefined : Math.min(...list.values()))
        expect(heap.size).toBe(list.size)
      }
      const due = [...list].filter(([, at]) => at <= now)
      expect([...heap.due(now)].sort()).toEqual(due.map(([item]) => item).sort())
      const times = heap.due(now).map((item) => list.get(item)!)
      expect(times).toEqual([...times].sort((a, b) => a - b))
    }),
  )
})
