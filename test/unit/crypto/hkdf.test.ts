import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { hkdfExpand, hkdfExtract } from '../../../src/crypto/hkdf.js'
import { InternalError } from '../../../src/errors.js'

const range = (from: number, to: number): Uint8Array =>
  Uint8Array.from({ length: to - from + 1 }, (_, i) => from + i)
const none = new Uint8Array(0)

// RFC 5869 appendix A, the cases with SHA-256.
describe.each([
  {
    name: 'A.1',
    ikm: new Uint8Array(22).fill(0x0b),
    salt: range(0, 12),
    info: range(0xf0, 0xf9),
    prk: '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5',
    okm: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  },
  {
    name: 'A.2, longer',
    ikm: range(0, 0x4f),
    salt: range(0x60, 0xaf),
    info: range(0xb0, 0xff),
    prk: '06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244',
    okm:
      'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09' +
      'da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
  },
  {
    name: 'A.3, no salt and no info',
    ikm: new Uint8Array(22).fill(0x0b),
    salt: none,
    info: none,
    prk: '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04',
    okm: '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  },
])('RFC 5869 $name', ({ ikm, salt, info, prk, okm }) => {
  test('extract', () => expect(hex(hkdfExtract(salt, ikm))).toBe(prk))
  test('expand', () => expect(hex(hkdfExpand(fromHex(prk), info, okm.length / 2))).toBe(okm))
})

test('a shorter output is a prefix of a longer one', () => {
  const prk = range(1, 32)
  const long = hkdfExpand(prk, none, 200)
  for (const length of [0, 1, 31, 32, 33, 64, 199])
    expect(hkdfExpand(prk, none, length)).toEqual(long.subarray(0, length))
})

test('more than 255 blocks are refused', () => {
  expect(hkdfExpand(range(1, 32), none, 8160).length).toBe(8160)
  expect(() => hkdfExpand(range(1, 32), none, 8161)).toThrow(InternalError)
})
