import { expect, test } from 'vitest'
import { TokenBucket } from '../../../src/ike/prephase/token-bucket.js'

const taken = (bucket: TokenBucket, now: number, tries: number): number => {
  let n = 0
  for (let i = 0; i < tries; i++) if (bucket.take(now)) n++
  return n
}

test('the burst at once, then the rate', () => {
  const bucket = new TokenBucket(2, 8)
  expect(taken(bucket, 1_000, 20)).toBe(8)
  expect(taken(bucket, 1_499, 20)).toBe(0)
  expect(taken(bucket, 1_500, 20)).toBe(1)
  expect(taken(bucket, 3_500, 20)).toBe(4)
  expect(taken(bucket, 1_000_000, 20)).toBe(8)
})

test('a clock that goes back gives nothing, and nothing twice', () => {
  const bucket = new TokenBucket(1, 1)
  expect(bucket.take(5_000)).toBe(true)
  expect(bucket.take(0)).toBe(false)
  expect(bucket.take(5_000)).toBe(false)
  expect(bucket.take(6_000)).toBe(true)
})
