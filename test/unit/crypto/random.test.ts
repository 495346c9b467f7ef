import { expect, test } from 'vitest'
import { random } from '../../../src/crypto/random.js'

test('as many octets as asked for, in memory of their own, different each time', () => {
  for (const length of [0, 1, 8, 32, 256]) {
    const r = random(length)
    expect(r.length).toBe(length)
    expect(r.buffer.byteLength).toBe(length)
  }
  expect(random(16)).not.toEqual(random(16))
})
