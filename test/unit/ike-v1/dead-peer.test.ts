import { expect, test } from 'vitest'
import { DeadPeerDetection } from '../../../src/ike/v1/dead-peer.js'

const asked = (): DeadPeerDetection => new DeadPeerDetection(0, 2_000, [1_000, 2_000, 4_000, 8_000], 7)

test('a packet from before the question, told again with another age, does not put off the end', () => {
  const dpd = asked()
  const said: (number | 'dead')[] = []
  for (let now = 0; now < 60_000 && !said.includes('dead'); now += 10) {
    // The peer's last packet came at 0. Its age is known to some milliseconds.
    dpd.alive(Math.round(now / 1_000))
    const what = dpd.due(now)
    if (what !== undefined) said.push(what)
  }
  expect(said).toEqual([8, 8, 8, 8, 'dead'])
})

test('a packet after the question is a sign of life', () => {
  const dpd = asked()
  expect(dpd.due(2_000)).toBe(8)
  dpd.alive(2_500)
  expect(dpd.due(3_000)).toBeUndefined()
  expect(dpd.due(4_500)).toBe(9)
})
