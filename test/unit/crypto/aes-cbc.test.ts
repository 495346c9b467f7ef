import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { aesCbcDecrypt, aesCbcEncrypt } from '../../../src/crypto/aes-cbc.js'
import { InternalError } from '../../../src/errors.js'

const { cases } = JSON.parse(
  readFileSync(new URL('../../vectors/aes-cbc.json', import.meta.url), 'utf8'),
) as { cases: Record<'id' | 'key' | 'iv' | 'plaintext' | 'ciphertext', string>[] }

test.each(cases)('vector $id', (v) => {
  const [key, iv, plain, sealed] = [v.key, v.iv, v.plaintext, v.ciphertext].map(fromHex) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  expect(hex(aesCbcEncrypt(key, iv, plain))).toBe(v.ciphertext)
  expect(hex(aesCbcDecrypt(key, iv, sealed))).toBe(v.plaintext)
  // The arguments stay as they were.
  expect([key, iv, plain, sealed].map(hex)).toEqual([v.key, v.iv, v.plaintext, v.ciphertext])
})

test('two halves, the second with the last block of the first as IV, are the whole', () => {
  const key = new Uint8Array(32).fill(3)
  const iv = new Uint8Array(16).fill(4)
  const data = Uint8Array.from({ length: 96 }, (_, i) => i)
  const whole = aesCbcEncrypt(key, iv, data)
  const first = aesCbcEncrypt(key, iv, data.subarray(0, 48))
  const second = aesCbcEncrypt(key, first.subarray(-16), data.subarray(48))
  expect(hex(first) + hex(second)).toBe(hex(whole))
})

test('the result is a plain Uint8Array: slice copies', () => {
  const out = aesCbcEncrypt(new Uint8Array(16), new Uint8Array(16), new Uint8Array(16))
  const copy = out.slice()
  copy.fill(0)
  expect(out.some((v) => v !== 0)).toBe(true)
})

test.each([
  [17, 16, 16],
  [0, 16, 16],
  [16, 12, 16],
  [16, 16, 15],
  [24, 16, 40],
])('key of %i, IV of %i, data of %i octets: a fault of ours', (key, iv, data) => {
  const args = [new Uint8Array(key), new Uint8Array(iv), new Uint8Array(data)] as const
  expect(() => aesCbcEncrypt(...args)).toThrow(InternalError)
  expect(() => aesCbcDecrypt(...args)).toThrow(InternalError)
})
