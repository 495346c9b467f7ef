import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  ML_KEM_768_CIPHERTEXT,
  ML_KEM_768_PUBLIC,
  ML_KEM_768_SECRET,
  mlKemAnswer,
  mlKemShare,
} from '../../../src/crypto/ml-kem.js'
import { ProtocolError } from '../../../src/errors.js'

const seed = Uint8Array.from({ length: 64 }, (_, i) => i)
const coins = new Uint8Array(32).fill(9)

test('both ends have the same secret, of the lengths that FIPS 203 gives', () => {
  const share = mlKemShare(seed)
  expect(share.publicValue.length).toBe(ML_KEM_768_PUBLIC)
  const { ciphertext, secret } = mlKemAnswer(share.publicValue, coins)
  expect(ciphertext.length).toBe(ML_KEM_768_CIPHERTEXT)
  expect(secret.length).toBe(ML_KEM_768_SECRET)
  expect(share.computeSecret(ciphertext)).toEqual(secret)
  // Same seed and coins, same octets.
  expect(mlKemAnswer(mlKemShare(seed).publicValue, coins)).toEqual({ ciphertext, secret })
  expect(mlKemAnswer(share.publicValue).secret).not.toEqual(secret)
})

test('a changed ciphertext gives another secret and no error: nothing is told to whoever tries', () => {
  const share = mlKemShare(seed)
  const { ciphertext, secret } = mlKemAnswer(share.publicValue, coins)
  const changed = Uint8Array.from(ciphertext)
  changed[500]! ^= 1
  const other = share.computeSecret(changed)
  expect(other).not.toEqual(secret)
  expect(share.computeSecret(changed)).toEqual(other)
})

test('wrong lengths and coefficients that are not reduced are refused', () => {
  const share = mlKemShare(seed)
  for (const length of [0, 1, 1087, 1089])
    expect(() => share.computeSecret(new Uint8Array(length))).toThrow(ProtocolError)
  for (const length of [0, 1183, 1185])
    expect(() => mlKemAnswer(new Uint8Array(length))).toThrow(ProtocolError)
  const unreduced = Uint8Array.from(share.publicValue)
  unreduced.fill(0xff, 0, 3)
  expect(() => mlKemAnswer(unreduced)).toThrow(/no encapsulation key/)
})

test('a share that was destroyed has no secret any more', () => {
  const share = mlKemShare()
  const { ciphertext } = mlKemAnswer(share.publicValue)
  share.destroy()
  expect(() => share.computeSecret(ciphertext)).toThrow(/destroyed/)
})

test('a hundred keys, ciphertexts and rejections: the accumulated vector of ML-KEM-768 that other implementations have', () => {
  const rounds = 100
  const random = createHash('shake128', { outputLength: rounds * (64 + 32 + ML_KEM_768_CIPHERTEXT) }).digest()
  let at = 0
  const draw = (length: number): Uint8Array => {
    at += length
    return new Uint8Array(random.subarray(at - length, at))
  }
  const all = createHash('shake128', { outputLength: 32 })
  for (let i = 0; i < rounds; i++) {
    const share = mlKemShare(draw(64))
    all.update(share.publicValue)
    const { ciphertext, secret } = mlKemAnswer(share.publicValue, draw(32))
    expect(share.computeSecret(ciphertext)).toEqual(secret)
    all.update(ciphertext).update(secret)
    // Random octets are a ciphertext of nobody's: FIPS 203 section 6.3 says what secret they give.
    all.update(share.computeSecret(draw(ML_KEM_768_CIPHERTEXT)))
  }
  expect(all.digest('hex')).toBe('1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415')
})
