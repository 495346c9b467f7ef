import { expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { ed25519PublicKey, ed25519Sign, ed25519Verify } from '../../../src/crypto/ed25519.js'

// RFC 8032 section 7.1, tests 2 and 3.
const VECTORS = [
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
].map((v) => ({
  seed: fromHex(v.seed),
  publicKey: fromHex(v.publicKey),
  message: fromHex(v.message),
  signature: fromHex(v.signature),
}))

test.each(VECTORS)('RFC 8032 section 7.1', ({ seed, publicKey, message, signature }) => {
  expect(hex(ed25519PublicKey(seed))).toBe(hex(publicKey))
  expect(hex(ed25519Sign(seed, message))).toBe(hex(signature))
  expect(ed25519Verify(publicKey, message, signature)).toBe(true)
})

test('what is not signed so does not verify, and nothing throws', () => {
  const [{ publicKey, message, signature }, other] = VECTORS as [(typeof VECTORS)[0], (typeof VECTORS)[0]]
  for (let i = 0; i < signature.length; i += 7) {
    const spoilt = new Uint8Array(signature)
    spoilt[i]! ^= 1
    expect(ed25519Verify(publicKey, message, spoilt)).toBe(false)
  }
  expect(ed25519Verify(other.publicKey, message, signature)).toBe(false)
  expect(ed25519Verify(publicKey, other.message, signature)).toBe(false)
  expect(ed25519Verify(publicKey.subarray(1), message, signature)).toBe(false)
  expect(ed25519Verify(publicKey, message, signature.subarray(1))).toBe(false)
  expect(ed25519Verify(new Uint8Array(32).fill(0xff), message, signature)).toBe(false)
})
