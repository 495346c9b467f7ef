import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, hex, utf8 } from '../../../src/bytes/octets.js'
import { ENCR, INTEG, PRF } from '../../../src/crypto/algorithms.js'
import { messageIcv, openAead, runCipher, sealAead } from '../../../src/crypto/message-cipher.js'
import { prf } from '../../../src/crypto/prf.js'

const load = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'))

// RFC 4434 section 3 and RFC 4615 section 4: keys of the right length, shorter and longer.
const message20 = '000102030405060708090a0b0c0d0e0f10111213'
test.each([
  [PRF.AES128_XCBC, '000102030405060708090a0b0c0d0e0f', '47f51b4564966215b8985c63055ed308'],
  [PRF.AES128_XCBC, '00010203040506070809', '0fa087af7d866e7653434e602fdde835'],
  [PRF.AES128_XCBC, '000102030405060708090a0b0c0d0e0fedcb', '8cd3c93ae598a9803006ffb67c40e9e4'],
  [PRF.AES128_CMAC, '000102030405060708090a0b0c0d0e0fedcb', '84a348a4a45d235babfffc0d2b4da09a'],
  [PRF.AES128_CMAC, '000102030405060708090a0b0c0d0e0f', '980ae87b5f4c9c5214f5b6a8455e4c2d'],
  [PRF.AES128_CMAC, '00010203040506070809', '290d9e112edb09ee141fcf64c0b72f3d'],
])('PRF %i, key %s', (id, key, out) => {
  const message = fromHex(message20)
  expect(hex(prf(id, fromHex(key), message.subarray(0, 7), message.subarray(7)))).toBe(out)
})

describe('AES-XCBC-96 and AES-CMAC-96', () => {
  const { xcbc, cmac } = load('aes-xcbc-cmac.json') as Record<string, Record<string, string>[]>
  test.each([
    ...xcbc!.map((v) => [INTEG.AES_XCBC_96, v] as const),
    ...cmac!.map((v) => [INTEG.AES_CMAC_96, v] as const),
  ])('%i %o', (id, v) => {
    expect(hex(messageIcv(id, fromHex(v.key!), fromHex(v.message!)))).toBe(v.icv_96)
  })
})

test('HMAC_SHA2_256_128, RFC 4231 test case 2 cut to 128 bits', () => {
  const icv = messageIcv(
    INTEG.HMAC_SHA2_256_128,
    utf8('Jefe'),
    utf8('what do ya want '),
    utf8('for nothing?'),
  )
  expect(hex(icv)).toBe('5bdcc146bf60754e6a042426089575c7')
})

describe('AEADs', () => {
  test('AES-GCM, test case 4 of the GCM specification', () => {
    const key = fromHex('feffe9928665731c6d6a8f9467308308')
    const nonce = fromHex('cafebabefacedbaddecaf888')
    const aad = fromHex('feedfacedeadbeeffeedfacedeadbeefabaddad2')
    const text = fromHex(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    )
    const sealed = sealAead(ENCR.AES_GCM_16, key, nonce, aad, text)
    expect(hex(sealed)).toBe(
      '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47',
    )
    expect(openAead(ENCR.AES_GCM_16, key, nonce, aad, sealed)).toEqual(text)
  })
  test('AES-CCM-8 has 8 octets of ICV', () => {
    const key = fromHex('c0c1c2c3c4c5c6c7c8c9cacbcccdcecf')
    const sealed = sealAead(ENCR.AES_CCM_8, key, new Uint8Array(11), Uint8Array.of(1), utf8('text'))
    expect(sealed.length).toBe(4 + 8)
    expect(openAead(ENCR.AES_CCM_8, key, new Uint8Array(11), Uint8Array.of(1), sealed)).toEqual(utf8('text'))
  })
  test('ChaCha20-Poly1305, RFC 8439 section 2.8.2', () => {
    const key = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
    const nonce = fromHex('070000004041424344454647')
    const aad = fromHex('50515253c0c1c2c3c4c5c6c7')
    const text = utf8(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    )
    const sealed = sealAead(ENCR.CHACHA20_POLY1305, key, nonce, aad, text)
    expect(hex(sealed.subarray(0, 16))).toBe('d31a8d34648e60db7b86afbc53ef7ec2')
    expect(hex(sealed.subarray(-16))).toBe('1ae10b594f09e26a7e902ecbd0600691')
  })
  test.each([
    [ENCR.AES_GCM_16, 16, 12],
    [ENCR.AES_CCM_8, 32, 11],
    [ENCR.AES_CCM_12, 16, 11],
    [ENCR.AES_CCM_16, 24, 11],
    [ENCR.CHACHA20_POLY1305, 32, 12],
  ])('AEAD %i opens nothing that was changed', (id, keyOctets, nonceOctets) => {
    const [key, nonce] = [new Uint8Array(keyOctets).fill(7), new Uint8Array(nonceOctets)]
    const aad = utf8('header')
    const sealed = sealAead(id, key, nonce, aad, utf8('payloads'))
    for (let i = 0; i < sealed.length; i++) {
      const bad = new Uint8Array(sealed)
      bad[i]! ^= 1
      expect(openAead(id, key, nonce, aad, bad)).toBeUndefined()
    }
    expect(openAead(id, key, nonce, utf8('Header'), sealed)).toBeUndefined()
    expect(openAead(id, key, nonce, aad, sealed)).toEqual(utf8('payloads'))
  })
})

test('AES-CTR, RFC 3686 test vector 3', () => {
  const key = fromHex('7691be035e5020a8ac6e618529f9a0dc00e0017b')
  const iv = fromHex('27777f3f4a1786f0')
  const text = fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223')
  const out = runCipher(ENCR.AES_CTR, 'encrypt', key, iv, text)
  expect(hex(out)).toBe('c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f')
  expect(runCipher(ENCR.AES_CTR, 'decrypt', key, iv, out)).toEqual(text)
})
