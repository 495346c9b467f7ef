import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, hex, utf8 } from '../../../src/bytes/octets.js'
import { PRF } from '../../../src/crypto/algorithms.js'
import { hash, hasPrf, prf, prfLength, prfPlus } from '../../../src/crypto/prf.js'
import { InternalError } from '../../../src/errors.js'

const load = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'))

const IDS: Record<string, number> = {
  'PRF-HMAC-SHA2-256': PRF.HMAC_SHA2_256,
  'PRF-HMAC-SHA2-384': PRF.HMAC_SHA2_384,
  'PRF-HMAC-SHA2-512': PRF.HMAC_SHA2_512,
  'HMAC-SHA1': PRF.HMAC_SHA1,
  'HMAC-SHA2-256': PRF.HMAC_SHA2_256,
  'HMAC-SHA2-384': PRF.HMAC_SHA2_384,
  'HMAC-SHA2-512': PRF.HMAC_SHA2_512,
  'SHA-1': PRF.HMAC_SHA1,
  'SHA-256': PRF.HMAC_SHA2_256,
  'SHA-384': PRF.HMAC_SHA2_384,
  'SHA-512': PRF.HMAC_SHA2_512,
}

const vectors = load('hmac.json') as { prf: Record<string, string>[]; hmac: Record<string, string>[] }

test.each(vectors.prf)('PRF vector $id', (v) => {
  expect(hex(prf(IDS[v.algorithm!]!, fromHex(v.key!), fromHex(v.data!)))).toBe(v.output)
})

test.each(vectors.hmac)('HMAC vector $id, its message in parts', (v) => {
  const message = fromHex(v.message!)
  const parts = [message.subarray(0, 5), message.subarray(5, 5), message.subarray(5)]
  expect(hex(prf(IDS[v.algorithm!]!, fromHex(v.key!), ...parts))).toBe(v.mac)
})

// FIPS 180-4: the examples for "abc".
test.each([
  [PRF.HMAC_SHA1, 'a9993e364706816aba3e25717850c26c9cd0d89d'],
  [PRF.HMAC_SHA2_256, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
])('the hash under PRF %i', (id, digest) => {
  expect(hex(hash(id, utf8('a'), utf8('bc')))).toBe(digest)
})

describe('NIST CAVP, IKEv2 key derivation (RFC 7296 sections 2.14, 2.17, 2.18)', () => {
  const { cases } = load('ikev2-kdf-cavp.json') as { cases: Record<string, string>[] }
  test.each(cases.map((c, i) => [`${i} ${c.hash}`, c] as const))('%s', (_, c) => {
    const at = (name: string): Uint8Array => fromHex(c[name]!)
    const id = IDS[c.hash!]!
    const nonces = [at('ni'), at('nr')]
    const seed = prf(id, concat(...nonces), at('gir'))
    expect(hex(seed)).toBe(c.skeyseed)
    const keys = prfPlus(id, seed, [...nonces, at('spi_i'), at('spi_r')], at('dkm').length)
    expect(hex(keys)).toBe(c.dkm)
    const d = keys.subarray(0, prfLength(id))
    expect(hex(prfPlus(id, d, nonces, at('dkm_child').length))).toBe(c.dkm_child)
    expect(hex(prfPlus(id, d, [at('gir_new'), ...nonces], at('dkm_child_dh').length))).toBe(c.dkm_child_dh)
    expect(hex(prf(id, d, at('gir_new'), ...nonces))).toBe(c.skeyseed_rekey)
  })
})

test('a shorter prf+ is a prefix of a longer one, and its end is 255 outputs', () => {
  const key = new Uint8Array(32).fill(1)
  const long = prfPlus(PRF.HMAC_SHA2_256, key, [key], 100)
  for (const length of [0, 1, 32, 33, 64, 99])
    expect(prfPlus(PRF.HMAC_SHA2_256, key, [key], length)).toEqual(long.subarray(0, length))
  expect(prfPlus(PRF.HMAC_SHA1, key, [key], 255 * 20).length).toBe(5100)
  expect(() => prfPlus(PRF.HMAC_SHA1, key, [key], 5101)).toThrow(InternalError)
})

test('a PRF that sallyport does not have is a fault of ours', () => {
  expect(hasPrf(PRF.HMAC_SHA1)).toBe(true)
  expect(hasPrf(1)).toBe(false)
  expect(() => prf(1, new Uint8Array(16))).toThrow(InternalError)
  expect(() => hash(4)).toThrow(InternalError)
})
