import { expect, test } from 'vitest'
import { EventCounts } from '../../../src/daemon/event-counts.js'
import { Undo } from '../../../src/daemon/undo.js'

test('undoes the last first, goes on after a failure, and once only', async () => {
  const done: string[] = []
  const undo = new Undo()
  undo.push('a', () => void done.push('a'))
  undo.push('b', () => {
    throw new Error('no')
  })
  undo.push('c', async () => void done.push('c'))
  const failed: string[] = []
  await undo.run((what) => failed.push(what))
  await undo.run((what) => failed.push(what))
  expect(done).toEqual(['c', 'a'])
  expect(failed).toEqual(['b'])
})

test('counters are kept by name, and their number is bounded', () => {
  const counts = new EventCounts()
  counts.add('b')
  counts.add('a')
  counts.add('b')
  expect(JSON.stringify(counts)).toBe('{"a":1,"b":2}')
  for (let i = 0; i < 1000; i++) counts.add(`n${i}`)
  expect(Object.keys(counts.toJSON()).length).toBe(512)
  counts.add('b')
  expect(counts.toJSON().b).toBe(3)
})
