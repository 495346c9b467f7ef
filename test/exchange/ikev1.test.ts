import { expect, test } from 'vitest'
import { convergence, twoIkes } from './ike-ends.js'

test('first', () => {
  const ends = twoIkes()
  const { network, a, b } = ends
  a.ike.acquire(network.now, 1)
  network.runFor(3_000)
  if (convergence(ends).length) console.log(JSON.stringify(a.env.lines, null, 1), JSON.stringify(b.env.lines, null, 1))
  expect(convergence(ends)).toEqual([])
})
