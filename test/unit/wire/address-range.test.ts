import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rangePrefixes } from '../../../src/wire/address-range.js'
import { compareIp, firstAddress, formatPrefix, lastAddress, parseIp } from '../../../src/wire/ip-address.js'

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
