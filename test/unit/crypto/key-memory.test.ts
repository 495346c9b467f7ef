import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import { selectEngines } from '../../../src/crypto/select.js'
import { NativeMemory } from '../../../src/ffi/native-memory.js'
import { nativeSlab } from '../../../src/ffi/slab.js'

// A lane makes no garbage, and so is never collected: what an SA takes must be given back by hand.

const mappings = (): number => readFileSync('/proc/self/maps', 'latin1').split('\n').length

const slab = nativeSlab(65_536)
const { engines } = selectEngines('auto', slab)

test.each(engines.map((e) => [e.name, e] as const))(
  '%s: keys that come and go leave no memory behind',
  (_, engine) => {
    const queue = engine.queue?.(slab)
    const cycle = (): void => {
      engine.aead(ENCR.AES_GCM_16, new Uint8Array(16), slab)?.destroy()
      engine.aead(ENCR.AES_CCM_16, new Uint8Array(16), slab)?.destroy()
      engine.cipher(ENCR.AES_CBC, new Uint8Array(16), slab)?.destroy()
      engine.mac(INTEG.HMAC_SHA2_256_128, new Uint8Array(32), slab)?.destroy()
      engine.mac(INTEG.AES_XCBC_96, new Uint8Array(16), slab)?.destroy()
      queue?.aead(ENCR.AES_CCM_16, new Uint8Array(16))?.destroy()
      queue
        ?.cipherMac(ENCR.AES_CBC, new Uint8Array(16), INTEG.HMAC_SHA2_256_128, new Uint8Array(32), 0)
        ?.destroy()
    }
    cycle()
    const before = mappings()
    for (let i = 0; i < 200; i++) cycle()
    expect(mappings() - before).toBeLessThan(100)
  },
)

test('a block that was given back is used again, zeroed, once', () => {
  const a = new NativeMemory(24)
  a.bytes.fill(7)
  a.giveBack()
  a.giveBack()
  const [b, c] = [new NativeMemory(20), new NativeMemory(24)]
  expect(b.address).toBe(a.address)
  expect(c.address).not.toBe(a.address)
  expect([...b.bytes]).toEqual(new Array(24).fill(0))
})
