import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergedRanges, rangePrefixes, successor } from '../../../src/wire/address-range.js'
import {
  compareIp,
  firstAddress,
  formatIp,
  formatPrefix,
  lastAddress,
  parseIp,
} from '../../../src/wire/ip-address.js'

const blocks = (start: string, end: string): string[] =>
  rangePrefixes(parseIp(start)!, parseIp(end)!).map(formatPrefix)

test.each([
  ['10.0.0.1', '10.0.0.1', ['10.0.0.1/32']],
  ['10.0.0.0', '10.0.0.255', ['10.0.0.0/24']],
  ['0.0.0.0', '255.255.255.255', ['0.0.0.0/0']],
  ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ['::/0']],
  ['10.0.0.1', '10.0.0.6', ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32']],
  ['255.255.255.254', '255.255.255.255', ['255.255.255.254/31']],
  ['fd00::ffff', 'fd00::1:0', ['fd00::ffff/128', 'fd00::1:0/128']],
])('%s to %s', (start, end, expected) => {
  expect(blocks(start, end)).toEqual(expected)
})

test('blocks follow each other from the first address to the last', () => {
  const address = fc.uint8Array({ minLength: 4, maxLength: 4 })
  fc.assert(
    fc.property(address, address, (a, b) => {
      const [start, end] = compareIp(a, b) <= 0 ? [a, b] : [b, a]
      const list = rangePrefixes(start, end)
      const number = (ip: Uint8Array): number => Buffer.from(ip).readUInt32BE()
      expect(number(firstAddress(list[0]!))).toBe(number(start))
      expect(number(lastAddress(list.at(-1)!))).toBe(number(end))
      for (let i = 1; i < list.length; i++)
        expect(number(list[i]!.address)).toBe(number(lastAddress(list[i - 1]!)) + 1)
      expect(list.length).toBeLessThanOrEqual(62)
    }),
    { numRuns: 200 },
  )
})

test.each([
  ['10.0.0.1', '10.0.0.2'],
  ['10.0.255.255', '10.1.0.0'],
  ['255.255.255.255', undefined],
  ['fd00::ffff', 'fd00::1:0'],
])('behind %s is %s', (before, behind) => {
  const next = successor(parseIp(before)!)
  expect(next && formatIp(next)).toBe(behind)
})

const ends = (text: string) => {
  const [start, end] = text.split('-')
  return { start: parseIp(start!)!, end: parseIp(end!)! }
}

test.each([
  [[], []],
  [['10.0.0.1-10.0.0.1'], ['10.0.0.1-10.0.0.1']],
  // Next to each other, one in the other, the same twice, overlapping.
  [['10.0.0.4-10.0.0.7', '10.0.0.0-10.0.0.3'], ['10.0.0.0-10.0.0.7']],
  [['10.0.0.0-10.0.0.9', '10.0.0.3-10.0.0.4'], ['10.0.0.0-10.0.0.9']],
  [['10.0.0.0-10.0.0.9', '10.0.0.0-10.0.0.9'], ['10.0.0.0-10.0.0.9']],
  [
    ['10.0.0.0-10.0.0.5', '10.0.0.3-10.0.0.8', '10.0.0.10-10.0.0.10'],
    ['10.0.0.0-10.0.0.8', '10.0.0.10-10.0.0.10'],
  ],
  [['0.0.0.0-255.255.255.255', '10.0.0.3-10.0.0.8'], ['0.0.0.0-255.255.255.255']],
])('%j together are %j', (ranges, merged) => {
  expect(mergedRanges(ranges.map(ends)).map((r) => `${formatIp(r.start)}-${formatIp(r.end)}`)).toEqual(merged)
})

test('merged ranges have the same addresses, in order and apart', () => {
  const octet = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 12 }), (list) => {
      const range = ([a, b]: readonly [number, number]) => ends(`10.0.0.${a}-10.0.0.${b}`)
      const merged = mergedRanges(list.map(range)).map((r) => [r.start[3]!, r.end[3]!] as const)
      for (let x = 0; x < 256; x++) {
        const holds = (all: readonly (readonly [number, number])[]) => all.some(([a, b]) => a <= x && x <= b)
        if (holds(list) !== holds(merged)) return false
      }
      return merged.every(([a], i) => i === 0 || a > merged[i - 1]![1] + 1)
    }),
  )
})
