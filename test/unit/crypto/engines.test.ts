import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import { selectEngines } from '../../../src/crypto/select.js'
import { selfTest } from '../../../src/crypto/self-test.js'
import type { CryptoEngine } from '../../../src/crypto/types.js'
import { nativeSlab } from '../../../src/ffi/slab.js'

const load = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'))

const slab: Slab = nativeSlab(65_536)
const { engines } = selectEngines('auto', slab)
const [A, B, C, D] = [SCRATCH_LEN, SCRATCH_LEN + 256, SCRATCH_LEN + 4096, SCRATCH_LEN + 16_384]
const put = (text: string, at: number): number => {
  const octets = fromHex(text)
  slab.bytes.set(octets, at)
  return octets.length
}
const get = (at: number, n: number): string => hex(slab.bytes.subarray(at, at + n))

const INTEG_IDS: Record<string, number> = {
  'HMAC-SHA1': INTEG.HMAC_SHA1_96,
  'HMAC-SHA2-256': INTEG.HMAC_SHA2_256_128,
  'HMAC-SHA2-384': INTEG.HMAC_SHA2_384_192,
  'HMAC-SHA2-512': INTEG.HMAC_SHA2_512_256,
}

test('openssl and noble are always there', () => {
  expect(engines.map((e) => e.name)).toEqual(expect.arrayContaining(['openssl', 'noble']))
})

describe.each(engines.map((e) => [e.name, e] as const))('%s', (_, engine) => {
  test.each(load('aead.json').cases as Record<string, string>[])('AEAD vector $id', (v) => {
    const aead = engine.aead(Number(v.algorithm), fromHex(v.key!), slab)
    if (!aead) return
    put(v.nonce!, A)
    const aadLen = put(v.aad!, B)
    const n = put(v.plaintext!, C)
    aead.seal(A, B, aadLen, C, n, D, D + n)
    expect(get(D, n + 16)).toBe(v.sealed)
    slab.bytes.fill(0, C, C + n)
    expect(aead.open(A, B, aadLen, D, n, C, D + n)).toBe(true)
    expect(get(C, n)).toBe(v.plaintext)
    aead.destroy()
  })

  test.each(load('aes-cbc.json').cases as Record<string, string>[])('CBC vector $id', (v) => {
    const cipher = engine.cipher(ENCR.AES_CBC, fromHex(v.key!), slab)
    if (!cipher) return
    put(v.iv!, A)
    const n = put(v.plaintext!, C)
    cipher.encrypt(A, C, n, D)
    expect(get(D, n)).toBe(v.ciphertext)
    cipher.decrypt(A, D, n, D)
    expect(get(D, n)).toBe(v.plaintext)
    cipher.destroy()
  })

  test.each(
    (load('hmac.json').hmac as Record<string, string>[]).filter((v) => INTEG_IDS[v.algorithm!] !== undefined),
  )('HMAC vector $id', (v) => {
    const mac = engine.mac(INTEG_IDS[v.algorithm!]!, fromHex(v.key!), slab)
    if (!mac) return
    const n = put(v.message!, C)
    mac.compute(C, n, C, 0, D)
    expect(get(D, mac.icvLength)).toBe(v.mac!.slice(0, mac.icvLength * 2))
    mac.destroy()
  })
})

test('every engine says undefined for a key of the wrong length', () => {
  for (const engine of engines) {
    expect(engine.aead(ENCR.AES_GCM_16, new Uint8Array(17), slab)).toBeUndefined()
    expect(engine.cipher(ENCR.AES_CBC, new Uint8Array(15), slab)).toBeUndefined()
  }
})

test('an engine that answers wrongly fails its self-test', () => {
  const good = engines.find((e) => e.name === 'noble')!
  const faulty = (change: Partial<CryptoEngine>): CryptoEngine => ({ ...good, ...change })
  expect(selfTest(good, slab)).toBeUndefined()
  // A cipher that encrypts rightly and accepts everything.
  const credulous = faulty({
    aead(id, key, s) {
      const aead = good.aead(id, key, s)
      return (
        aead && {
          seal: aead.seal.bind(aead),
          open: (...args) => {
            aead.open(...args)
            return true
          },
          destroy: () => aead.destroy(),
        }
      )
    },
  })
  expect(selfTest(credulous, slab)).toMatch(/AES-128-GCM/)
  const swapped = faulty({ mac: (_, key, s) => good.mac(INTEG.HMAC_SHA2_256_128, key, s) })
  expect(selfTest(swapped, slab)).toMatch(/HMAC-SHA1/)
})

test('a wanted engine leads, slower ones stay behind it', () => {
  expect(selectEngines('openssl', slab).engines.map((e) => e.name)).toEqual(['openssl', 'noble'])
  expect(selectEngines('noble', slab).engines.map((e) => e.name)).toEqual(['noble'])
})
