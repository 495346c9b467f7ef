import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { compareLabels, isLabel, labelOf, nextLabel } from '../../../src/ike/prephase/tai64n.js'

const at = (unixSeconds: number, nanoseconds = 0) => ({ unixSeconds, nanoseconds })

describe('labels', () => {
  test('the epoch and a later moment', () => {
    expect(hex(labelOf(at(0)))).toBe('400000000000000a00000000')
    // 1992-06-02 08:06:43 TAI, the TAI64 page's example, is 10 s after 08:06:33 in the fixed-offset count used here.
    expect(hex(labelOf(at(0x2a2b2c2d - 10, 500)))).toBe('400000002a2b2c2d000001f4')
  })

  test('a clock before 1970 gives a label all the same', () => {
    expect(hex(labelOf(at(-5)))).toBe('400000000000000a00000000')
  })

  test('octet order is time order', () => {
    const moments = [at(0), at(0, 1), at(1), at(255, 999_999_999), at(256), at(2 ** 32), at(2 ** 40, 7)]
    const labels = moments.map(labelOf)
    for (let i = 0; i < labels.length; i++)
      for (let j = 0; j < labels.length; j++)
        expect(Math.sign(compareLabels(labels[i]!, labels[j]!))).toBe(Math.sign(i - j))
  })

  test('what is a label', () => {
    expect(isLabel(labelOf(at(1_790_000_000, 999_999_999)))).toBe(true)
    expect(isLabel(fromHex('7fffffffffffffff3b9ac9ff'))).toBe(true)
    expect(isLabel(fromHex('80000000000000003b9ac9ff'))).toBe(false)
    expect(isLabel(fromHex('400000000000000a3b9aca00'))).toBe(false)
    expect(isLabel(fromHex('400000000000000a'))).toBe(false)
  })
})

describe('the label to send', () => {
  const last = labelOf(at(100, 5))
  test('now, when there was none or an earlier one', () => {
    expect(nextLabel(at(50), undefined)).toEqual(labelOf(at(50)))
    expect(nextLabel(at(100, 6), last)).toEqual(labelOf(at(100, 6)))
  })
  test('one nanosecond after the last one when the clock stands still or was set back', () => {
    expect(nextLabel(at(100, 5), last)).toEqual(labelOf(at(100, 6)))
    expect(nextLabel(at(3), last)).toEqual(labelOf(at(100, 6)))
  })
  test('the nanoseconds carry', () => {
    expect(nextLabel(at(0), labelOf(at(100, 999_999_999)))).toEqual(labelOf(at(101, 0)))
  })
  test('none after the last one of all', () => {
    expect(nextLabel(at(0), fromHex('7fffffffffffffff3b9ac9ff'))).toBeUndefined()
  })
})
