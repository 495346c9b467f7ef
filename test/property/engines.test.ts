import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SCRATCH_LEN, type Slab } from '../../src/bytes/slab.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../../src/crypto/algorithms.js'
import { selectEngines } from '../../src/crypto/select.js'
import type { CryptoEngine } from '../../src/crypto/types.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { ipsecMbEngines } from '../reference/ipsec-mb-libraries.js'
import { nodeCryptoEngine } from '../reference/node-crypto-engine.js'

// The engines agree bit for bit, on any length and offset, in place and out of place, with each other and with node:crypto;
// they write nowhere else; and they refuse what was changed.

const slab: Slab = nativeSlab(131_072)
const engines: readonly CryptoEngine[] = [
  ...ipsecMbEngines().map(({ file, engine }) => ({ ...engine, detail: file })),
  ...selectEngines('auto', slab).engines.filter((e) => e.name !== 'ipsec-mb'),
]
const oracle = engines.find((e) => e.name === 'noble')!
const others = [
  ...engines.filter((e) => e !== oracle),
  { ...nodeCryptoEngine(), name: 'node:crypto' as const },
]

const AEADS = Object.values(ENCR).filter((id) => encryptionInfo(id)!.kind === 'aead')
// GMAC is an AEAD that encrypts nothing.
const MACS = Object.values(INTEG).filter((id) => !['gmac', undefined].includes(integrityInfo(id)?.kind))

const NONCE = SCRATCH_LEN
const AAD = SCRATCH_LEN + 64
const SRC = SCRATCH_LEN + 1024
const DST = SRC + 32_768
const GUARD = 64
const runs = { numRuns: 120 }
const octets = (n: number) => fc.uint8Array({ minLength: n, maxLength: n })
const lengths = fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 9_000 }))
/** Octets from a seed: one by one they would take longer to draw than all ciphers together. */
const noise = (n: number, seed: number): Uint8Array => {
  const out = new Uint8Array(n)
  let x = seed | 1
  for (let i = 0; i < n; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    out[i] = x
  }
  return out
}
const texts = fc.tuple(lengths, fc.integer()).map(([n, seed]) => noise(n, seed))
const blocks = fc
  .tuple(fc.integer({ min: 1, max: 500 }), fc.integer())
  .map(([n, seed]) => noise(n * 16, seed))
const shifts = fc.integer({ min: 0, max: 63 })
const aeadKeys = (id: number) => fc.constantFrom(...encryptionInfo(id)!.keyLengths).chain(octets)

const get = (at: number, n: number): Uint8Array => slab.bytes.slice(at, at + n)
const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): void => {
  expect(a && Buffer.from(a).toString('hex')).toBe(b && Buffer.from(b).toString('hex'))
}
const flip = (at: number, n: number, bit: number): void => {
  const i = at + (Math.floor(bit / 8) % n)
  slab.bytes[i] = slab.bytes[i]! ^ (1 << (bit % 8))
}

/** Runs `write` with marked octets around `at`, `n` octets, and expects the marks untouched. */
function guarded(at: number, n: number, write: () => void): void {
  slab.bytes.fill(0xa5, at - GUARD, at)
  slab.bytes.fill(0xa5, at + n, at + n + GUARD)
  write()
  const marks = Buffer.alloc(GUARD, 0xa5)
  expect(marks.equals(get(at - GUARD, GUARD)), 'octets in front').toBe(true)
  expect(marks.equals(get(at + n, GUARD)), 'octets behind').toBe(true)
}

/** What an engine makes of a plaintext: ciphertext and ICV. It opens its own work again, where it stands. */
function sealed(
  engine: Pick<CryptoEngine, 'aead'>,
  [id, key, nonce, aad, plain, shift, inPlace]: readonly [
    number,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    number,
    boolean,
  ],
): Uint8Array | undefined {
  const aead = engine.aead(id, key, slab)
  if (!aead) return undefined
  const n = plain.length
  const icv = aead.icvLength
  const src = SRC + shift
  const dst = inPlace ? src : DST + shift
  slab.bytes.set(nonce.subarray(0, aead.nonceLength), NONCE)
  slab.bytes.set(aad, AAD)
  slab.bytes.set(plain, src)
  guarded(dst, n + icv, () => aead.seal(NONCE, AAD, aad.length, src, n, dst, dst + n))
  if (!inPlace) same(get(src, n), plain)
  const out = get(dst, n + icv)
  guarded(dst, n + icv, () => expect(aead.open(NONCE, AAD, aad.length, dst, n, dst, dst + n)).toBe(true))
  same(get(dst, n), plain)
  same(get(dst + n, icv), out.subarray(n))
  aead.destroy()
  return out
}

describe.each(others.map((e) => [e.name, e] as const))('%s = noble', (name, engine) => {
  /** Only the engine of one vendor may lack an algorithm. */
  const mustHave = name !== 'ipsec-mb'

  test.each(AEADS)('AEAD %i', (id) => {
    fc.assert(
      fc.property(
        aeadKeys(id),
        octets(12),
        fc.constantFrom(8, 12).chain(octets),
        texts,
        shifts,
        fc.boolean(),
        (key, nonce, aad, plain, shift, inPlace) => {
          const packet = [id, key, nonce, aad, plain, shift, inPlace] as const
          const mine = sealed(engine, packet)
          if (mine || mustHave) same(mine, sealed(oracle, packet))
        },
      ),
      runs,
    )
  })

  test('GMAC', () => {
    fc.assert(
      fc.property(aeadKeys(ENCR.AES_GCM_16), octets(12), texts, shifts, (key, nonce, text, shift) => {
        fc.pre(text.length > 0)
        const results = [engine, oracle].map((e) => {
          const aead = e.aead(ENCR.AES_GCM_16, key, slab)!
          slab.bytes.set(nonce, NONCE)
          slab.bytes.set(text, SRC + shift)
          const [at, icv] = [SRC + shift, DST + shift]
          guarded(icv, 16, () => aead.seal(NONCE, at, text.length, icv, 0, icv, icv))
          const out = get(icv, 16)
          expect(aead.open(NONCE, at, text.length, icv, 0, icv, icv)).toBe(true)
          flip(at, text.length, shift * 8)
          expect(aead.open(NONCE, at, text.length, icv, 0, icv, icv)).toBe(false)
          aead.destroy()
          return out
        })
        same(results[0], results[1])
      }),
      runs,
    )
  })

  test.each([ENCR.AES_CBC, ENCR.AES_CTR])('cipher %i', (id) => {
    fc.assert(
      fc.property(
        aeadKeys(id),
        octets(16),
        id === ENCR.AES_CBC ? blocks : texts,
        shifts,
        fc.boolean(),
        (key, iv, plain, shift, inPlace) => {
          const n = plain.length
          const src = SRC + shift
          const dst = inPlace ? src : DST + shift
          const results = [engine, oracle].map((e) => {
            const cipher = e.cipher(id, key, slab)
            if (!cipher) return undefined
            slab.bytes.set(iv, NONCE)
            slab.bytes.set(plain, src)
            guarded(dst, n, () => cipher.encrypt(NONCE, src, n, dst))
            const out = get(dst, n)
            guarded(src, n, () => cipher.decrypt(NONCE, dst, n, src))
            same(get(src, n), plain)
            same(get(NONCE, 16), iv)
            cipher.destroy()
            return out
          })
          if (results[0] || mustHave) same(results[0], results[1])
        },
      ),
      runs,
    )
  })

  test.each(MACS)('MAC %i', (id) => {
    const info = integrityInfo(id)!
    fc.assert(
      fc.property(
        octets(info.keyLength),
        texts,
        fc.constantFrom(0, 4).chain(octets),
        shifts,
        (key, message, tail, shift) => {
          const results = [engine, oracle].map((e) => {
            const mac = e.mac(id, key, slab)
            if (!mac) return undefined
            slab.bytes.set(tail, NONCE)
            slab.bytes.set(message, SRC + shift)
            const icv = DST + shift
            guarded(icv, mac.icvLength, () =>
              mac.compute(SRC + shift, message.length, NONCE, tail.length, icv),
            )
            const out = get(icv, mac.icvLength)
            expect(mac.verify(SRC + shift, message.length, NONCE, tail.length, icv)).toBe(true)
            same(get(icv, mac.icvLength), out)
            mac.destroy()
            return out
          })
          if (results[0] || mustHave) same(results[0], results[1])
        },
      ),
      runs,
    )
  })
})

describe.each(engines.map((e) => [e.name, e] as const))(
  '%s refuses what was changed by one bit',
  (_, engine) => {
    test.each(AEADS)('AEAD %i', (id) => {
      fc.assert(
        fc.property(
          aeadKeys(id),
          octets(12),
          fc.constantFrom(8, 12).chain(octets),
          texts,
          fc.constantFrom('packet', 'icv', 'aad', 'nonce'),
          fc.nat(),
          (key, nonce, aad, plain, where, bit) => {
            const aead = engine.aead(id, key, slab)
            if (!aead) return
            const n = plain.length
            slab.bytes.set(nonce, NONCE)
            slab.bytes.set(aad, AAD)
            slab.bytes.set(plain, SRC)
            aead.seal(NONCE, AAD, aad.length, SRC, n, DST, DST + n)
            if (where === 'nonce') flip(NONCE, aead.nonceLength, bit)
            else if (where === 'aad') flip(AAD, aad.length, bit)
            else if (where === 'icv') flip(DST + n, aead.icvLength, bit)
            else flip(DST, n + aead.icvLength, bit)
            const opened = aead.open(NONCE, AAD, aad.length, DST, n, SRC, DST + n)
            aead.destroy()
            expect(opened).toBe(false)
          },
        ),
        runs,
      )
    })

    test.each(MACS)('MAC %i', (id) => {
      fc.assert(
        fc.property(
          octets(integrityInfo(id)!.keyLength),
          texts,
          octets(4),
          fc.constantFrom('message', 'tail', 'icv'),
          fc.nat(),
          (key, message, tail, where, bit) => {
            const mac = engine.mac(id, key, slab)
            if (!mac) return
            slab.bytes.set(tail, NONCE)
            slab.bytes.set(message, SRC)
            mac.compute(SRC, message.length, NONCE, 4, DST)
            if (where === 'tail') flip(NONCE, 4, bit)
            else if (where === 'message' && message.length > 0) flip(SRC, message.length, bit)
            else flip(DST, mac.icvLength, bit)
            const verified = mac.verify(SRC, message.length, NONCE, 4, DST)
            mac.destroy()
            expect(verified).toBe(false)
          },
        ),
        runs,
      )
    })
  },
)
