import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, hex } from '../../../src/bytes/octets.js'
import { PRF } from '../../../src/crypto/algorithms.js'
import { prf } from '../../../src/crypto/prf.js'
import { deriveSkeyids, encryptionKey, skeyidPsk } from '../../../src/ike/v1/keymat.js'

const PRF_OF: Record<string, number> = {
  'SHA-1': PRF.HMAC_SHA1,
  'SHA-256': PRF.HMAC_SHA2_256,
  'SHA-384': PRF.HMAC_SHA2_384,
  'SHA-512': PRF.HMAC_SHA2_512,
}

const { ikev1_psk: cases } = JSON.parse(
  readFileSync(new URL('../../vectors/ikev1-kdf-cavp.json', import.meta.url), 'utf8'),
) as { ikev1_psk: Record<string, string>[] }

describe('SKEYID and its children, NIST CAVP', () => {
  test.each(cases.map((c, i) => [`${i} ${c.hash}`, c] as const))('%s', (_name, c) => {
    const at = (name: string): Uint8Array => fromHex(c[name]!)
    const prfId = PRF_OF[c.hash!]!
    const skeyid = skeyidPsk(prfId, at('psk'), at('ni'), at('nr'))
    expect(hex(skeyid)).toBe(c.skeyid)
    const s = deriveSkeyids(prfId, skeyid, at('gxy'), at('cky_i'), at('cky_r'))
    expect([hex(s.d), hex(s.a), hex(s.e)]).toEqual([c.skeyid_d, c.skeyid_a, c.skeyid_e])
  })
})

describe('encryption key', () => {
  const e = new Uint8Array(20).fill(7)
  test('is the head of SKEYID_e where that is long enough', () => {
    expect(encryptionKey(PRF.HMAC_SHA1, e, 16)).toEqual(e.slice(0, 16))
  })
  test('is stretched where SKEYID_e is too short: K1 | K2, RFC 2409 appendix B', () => {
    const k1 = prf(PRF.HMAC_SHA1, e, Uint8Array.of(0))
    const k2 = prf(PRF.HMAC_SHA1, e, k1)
    expect(hex(encryptionKey(PRF.HMAC_SHA1, e, 32))).toBe(hex(concat(k1, k2).slice(0, 32)))
    expect(hex(encryptionKey(PRF.HMAC_SHA1, e, 24))).toBe(hex(concat(k1, k2).slice(0, 24)))
  })
})
