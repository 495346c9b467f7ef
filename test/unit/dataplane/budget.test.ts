import { expect, test } from 'vitest'
import { Budget } from '../../../src/dataplane/budget.js'

const takes = (budget: Budget, times: number): boolean[] => Array.from({ length: times }, () => budget.take())

test('so many times, and no more until it is refilled', () => {
  const budget = new Budget(2)
  expect(takes(budget, 4)).toEqual([true, true, false, false])
  budget.refill()
  expect(takes(budget, 3)).toEqual([true, true, false])
})

test('what was not used is not saved up', () => {
  const budget = new Budget(2)
  budget.take()
  for (let i = 0; i < 5; i++) budget.refill()
  expect(takes(budget, 3)).toEqual([true, true, false])
})
