import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../../src/crypto/algorithms.js'
import { selectEngines } from '../../src/crypto/select.js'
import { nativeSlab } from '../../src/ffi/slab.js'

// The engines agree bit for bit, on any length and offset, in place and out of place; and they refuse what was changed.

const slab: Slab = nativeSlab(131_072)
const { engines } = selectEngines('auto', slab)
const oracle = engines.find((e) => e.name === 'noble')!
const others = engines.filter((e) => e !== oracle)

const SRC = SCRATCH_LEN + 1024
const DST = SRC + 32_768
const runs = { numRuns: 40 }
const octets = (n: number) => fc.uint8Array({ minLength: n, maxLength: n })
const lengths = fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 9_000 }))

/** Result of `seal` by an engine: ciphertext and ICV. */
function sealed(
  engine: (typeof engines)[number],
  id: number,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
  shift: number,
  inPlace: boolean,
): Uint8Array | undefined {
  const aead = engine.aead(id, key, slab)
  if (!aead) return undefined
  const src = SRC + shift
  const dst = inPlace ? src : DST + shift
  slab.bytes.set(nonce, SCRATCH_LEN)
  slab.bytes.set(aad, SCRATCH_LEN + 64)
  slab.bytes.set(plain, src)
  aead.seal(SCRATCH_LEN, SCRATCH_LEN + 64, aad.length, src, plain.length, dst, dst + plain.length)
  const out = slab.bytes.slice(dst, dst + plain.length + 16)
  expect(
    aead.open(SCRATCH_LEN, SCRATCH_LEN + 64, aad.length, dst, plain.length, dst, dst + plain.length),
  ).toBe(true)
  expect(slab.bytes.slice(dst, dst + plain.length)).toEqual(plain)
  aead.destroy()
  return out
}

describe.each(others.map((e) => [e.name, e] as const))('%s = noble', (_, engine) => {
  test.each([ENCR.AES_GCM_16, ENCR.CHACHA20_POLY1305])('AEAD %i', (id) => {
    const keys = fc.constantFrom(...encryptionInfo(id)!.keyLengths).chain(octets)
    fc.assert(
      fc.property(
        keys,
        octets(12),
        fc.constantFrom(8, 12).chain(octets),
        lengths.chain(octets),
        fc.integer({ min: 0, max: 63 }),
        fc.boolean(),
        fc.nat(),
        (key, nonce, aad, plain, shift, inPlace, flip) => {
          const mine = sealed(engine, id, key, nonce, aad, plain, shift, inPlace)
          if (!mine) return
          expect(mine).toEqual(sealed(oracle, id, key, nonce, aad, plain, shift, inPlace))
          const aead = engine.aead(id, key, slab)!
          mine[Math.floor(flip / 8) % mine.length]! ^= 1 << (flip % 8)
          slab.bytes.set(mine, DST)
          expect(
            aead.open(SCRATCH_LEN, SCRATCH_LEN + 64, aad.length, DST, plain.length, DST, DST + plain.length),
          ).toBe(false)
          aead.destroy()
        },
      ),
      runs,
    )
  })

  test('AES-CBC', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(16, 24, 32).chain(octets),
        octets(16),
        fc.integer({ min: 1, max: 500 }).chain((n) => octets(n * 16)),
        (key, iv, plain) => {
          const results = [engine, oracle].map((e) => {
            const cipher = e.cipher(ENCR.AES_CBC, key, slab)
            if (!cipher) return undefined
            slab.bytes.set(iv, SCRATCH_LEN)
            slab.bytes.set(plain, SRC)
            cipher.encrypt(SCRATCH_LEN, SRC, plain.length, DST)
            const out = slab.bytes.slice(DST, DST + plain.length)
            cipher.decrypt(SCRATCH_LEN, DST, plain.length, DST)
            expect(slab.bytes.slice(DST, DST + plain.length)).toEqual(plain)
            cipher.destroy()
            return out
          })
          if (results[0]) expect(results[0]).toEqual(results[1])
        },
      ),
      runs,
    )
  })

  test.each(Object.values(INTEG).filter((id) => id !== INTEG.NONE))('MAC %i', (id) => {
    const info = integrityInfo(id)!
    fc.assert(
      fc.property(
        octets(info.keyLength),
        lengths.chain(octets),
        fc.constantFrom(0, 4).chain(octets),
        fc.nat(),
        (key, message, tail, flip) => {
          const results = [engine, oracle].map((e) => {
            const mac = e.mac(id, key, slab)
            if (!mac) return undefined
            slab.bytes.set(tail, SCRATCH_LEN)
            slab.bytes.set(message, SRC)
            mac.compute(SRC, message.length, SCRATCH_LEN, tail.length, DST)
            const out = slab.bytes.slice(DST, DST + mac.icvLength)
            expect(mac.verify(SRC, message.length, SCRATCH_LEN, tail.length, DST)).toBe(true)
            slab.bytes[DST + (Math.floor(flip / 8) % mac.icvLength)]! ^= 1 << (flip % 8)
            expect(mac.verify(SRC, message.length, SCRATCH_LEN, tail.length, DST)).toBe(false)
            mac.destroy()
            return out
          })
          if (results[0]) expect(results[0]).toEqual(results[1])
        },
      ),
      runs,
    )
  })
})
