import { describe, expect, test } from 'vitest'
import { plainSlab, SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import { opensslEngine } from '../../../src/crypto/engines/openssl.js'
import { queueSelfTest } from '../../../src/crypto/queue-self-test.js'
import type { CryptoEngine, CryptoQueue } from '../../../src/crypto/types.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { ipsecMbEngines } from '../../reference/ipsec-mb-libraries.js'

const slab: Slab = nativeSlab(262_144)
const [IV, AAD, TEXT] = [SCRATCH_LEN, SCRATCH_LEN + 32, SCRATCH_LEN + 1024]
const key = (n: number): Uint8Array => new Uint8Array(n).fill(9)
const zeros = (n: number): Buffer => Buffer.alloc(n)
const octets = (at: number, n: number): Buffer => Buffer.from(slab.bytes.slice(at, at + n))

describe.each(ipsecMbEngines())('$file', ({ engine }) => {
  const newQueue = (): CryptoQueue => engine.queue!(slab)!

  test('all that ESP may have, but AES-CCM with 192 bits', () => {
    const queue = newQueue()
    for (const [id, lengths] of [
      [ENCR.AES_GCM_16, [16, 24, 32]],
      [ENCR.AES_CCM_8, [16, 32]],
      [ENCR.AES_CCM_12, [16, 32]],
      [ENCR.AES_CCM_16, [16, 32]],
      [ENCR.CHACHA20_POLY1305, [32]],
    ] as const)
      for (const n of [8, 16, 24, 32])
        expect(queue.aead(id, key(n)) !== undefined, `${id} with ${n}`).toBe(
          (lengths as readonly number[]).includes(n),
        )
    for (const encr of [ENCR.AES_CBC, ENCR.AES_CTR])
      for (const n of [16, 24, 32])
        expect(queue.cipherMac(encr, key(n), INTEG.HMAC_SHA2_256_128, key(32), 4)).toBeDefined()
    for (const integ of [INTEG.AES_XCBC_96, INTEG.AES_CMAC_96]) {
      expect(queue.cipherMac(ENCR.NULL, key(0), integ, key(16), 0)?.icvLength).toBe(12)
      expect(queue.cipherMac(ENCR.NULL, key(0), integ, key(17), 0)).toBeUndefined()
    }
    expect(queue.cipherMac(ENCR.AES_CBC, key(15), INTEG.HMAC_SHA1_96, key(20), 0)).toBeUndefined()
    expect(queue.cipherMac(ENCR.AES_GCM_16, key(16), INTEG.HMAC_SHA1_96, key(20), 0)).toBeUndefined()
    expect(queue.cipherMac(ENCR.AES_CBC, key(16), INTEG.AES_128_GMAC, key(20), 0)).toBeUndefined()
    expect(queue.aead(ENCR.AES_CBC, key(16))).toBeUndefined()
  })

  test('a full queue takes no packet, and what it has is done', () => {
    const queue = newQueue()
    const aead = queue.aead(ENCR.AES_GCM_16, key(16))!
    const at = (i: number): number => TEXT + i * 256
    for (let i = 0; i <= queue.capacity; i++) {
      slab.bytes.fill(7, at(i), at(i) + 256)
      const index = aead.seal(IV, AAD, 8, at(i), 100, at(i), at(i) + 100)
      expect(index).toBe(i < queue.capacity ? i : -1)
    }
    expect(queue.length).toBe(queue.capacity)
    queue.run()
    expect(queue.length).toBe(0)
    for (let i = 0; i < queue.capacity; i++) {
      expect(queue.done(i)).toBe(true)
      expect(octets(at(i), 116)).toEqual(octets(at(0), 116))
    }
    expect(octets(at(queue.capacity), 116)).toEqual(Buffer.alloc(116, 7))
  })

  test('a run of nothing is nothing', () => {
    const queue = newQueue()
    queue.run()
    expect(queue.length).toBe(0)
  })

  test.each([
    [ENCR.AES_GCM_16, 0],
    [ENCR.AES_CBC, INTEG.HMAC_SHA2_256_128],
  ])('cipher %i: what waits when its key ends lets nothing out, others are not disturbed', (encr, integ) => {
    const queue = newQueue()
    const make = () => {
      if (integ === 0) {
        const made = queue.aead(encr, key(16))!
        return {
          seal: (at: number) => made.seal(IV, AAD, 8, at, 96, at, at + 96),
          open: (at: number) => made.open(IV, AAD, 8, at, 96, at, at + 96),
          destroy: () => made.destroy(),
        }
      }
      const made = queue.cipherMac(encr, key(16), integ, key(32), 4)!
      return {
        seal: (at: number) => made.seal(IV, at - 8, at, 96, 3),
        open: (at: number) => made.open(IV, at - 8, at, 96, at, 3),
        destroy: () => made.destroy(),
      }
    }
    const [ending, staying] = [make(), make()]
    const [first, second, third] = [TEXT, TEXT + 512, TEXT + 1024]
    slab.bytes.fill(7, TEXT - 8, TEXT + 2048)
    expect([ending.seal(first), staying.seal(second), ending.seal(third)]).toEqual([0, 1, 2])
    queue.run()
    expect([0, 1, 2].map((i) => queue.done(i))).toEqual([true, true, true])

    slab.bytes.fill(7, first, first + 112)
    ending.seal(first)
    staying.open(second)
    ending.open(third)
    ending.destroy()
    ending.destroy()
    queue.run()
    expect([0, 1, 2].map((i) => queue.done(i))).toEqual([false, true, false])
    expect(octets(first, 112)).toEqual(zeros(112))
    expect(octets(second, 96)).toEqual(Buffer.alloc(96, 7))
    expect([ending.seal(first), ending.open(first)]).toEqual([-1, -1])
    staying.destroy()
  })

  test('passes its self-test, which leaves nothing behind', () => {
    const small = nativeSlab(8192)
    expect(queueSelfTest(engine.queue!(small)!, small)).toBeUndefined()
    expect(small.bytes.every((v) => v === 0)).toBe(true)
    expect(queueSelfTest(newQueue(), slab, slab.bytes.length - 100)).toMatch(/no room/)
  })

  test.each([
    ['an AEAD that is sealed with another IV', 'AES-128-GCM', { nonce: 1 }],
    ['verdicts that are always good', 'AES-128-GCM', { credulous: true }],
  ])('self-test: %s', (_, name, fault: { nonce?: number; credulous?: boolean }) => {
    const queue = newQueue()
    const faulty: CryptoQueue = {
      capacity: queue.capacity,
      get length() {
        return queue.length
      },
      aead(id, k) {
        const aead = queue.aead(id, k)
        return (
          aead && {
            nonceLength: aead.nonceLength,
            icvLength: aead.icvLength,
            seal: (nonce, ...rest) => aead.seal(nonce + (fault.nonce ?? 0), ...rest),
            open: aead.open.bind(aead),
            destroy: () => aead.destroy(),
          }
        )
      },
      cipherMac: queue.cipherMac.bind(queue),
      run: () => queue.run(),
      done: (i) => fault.credulous === true || queue.done(i),
    }
    expect(queueSelfTest(faulty, slab)).toBe(`wrong answer for ${name}`)
  })

  test('no queue on memory without an address', () => {
    expect(engine.queue!(plainSlab(8192))).toBeUndefined()
    expect(engine.aead(ENCR.AES_GCM_16, key(16), plainSlab(8192))).toBeUndefined()
    expect(engine.aead(ENCR.CHACHA20_POLY1305, key(32), plainSlab(8192))).toBeUndefined()
  })
})

test('openssl has no queue', () => {
  expect((opensslEngine() as CryptoEngine).queue).toBeUndefined()
})
