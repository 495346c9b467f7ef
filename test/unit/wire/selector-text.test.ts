import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareIp } from '../../../src/wire/ip-address.js'
import { formatSelector, parseFormattedSelector } from '../../../src/wire/traffic-selector.js'

test('a selector is read as it was written', () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  const selector = fc
    .tuple(address, fc.nat(15), fc.nat(255), fc.nat(255), fc.nat(0xffff), fc.nat(0xffff))
    .map(([start, place, value, protocol, a, b]) => {
      const end = start.with(place % start.length, value)
      const [low, high] = compareIp(start, end) <= 0 ? [start, end] : [end, start]
      return { start: low, end: high, protocol, startPort: Math.min(a, b), endPort: Math.max(a, b) }
    })
  fc.assert(
    fc.property(selector, (ts) => {
      expect(parseFormattedSelector(formatSelector(ts))).toEqual(ts)
    }),
    { numRuns: 500 },
  )
})

test('a block as people write it', () => {
  expect(formatSelector(parseFormattedSelector('10.0.0.0/24[6/22]')!)).toBe('10.0.0.0/24[6/22]')
  expect(formatSelector(parseFormattedSelector('2001:db8::/32')!)).toBe('2001:db8::/32')
})

test.each([
  '',
  '10.0.0.1',
  '10.0.0.1/33',
  '10.0.0.9-10.0.0.1',
  '10.0.0.1-::1',
  '10.0.0.0/24[300]',
  '10.0.0.0/24[6/9-8]',
  '10.0.0.0/24[6/70000]',
  '10.0.0.0/24[6',
  '10.0.0.1/24',
])('%j is none', (text) => {
  expect(parseFormattedSelector(text)).toBeUndefined()
})
