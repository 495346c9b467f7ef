import { expect, test } from 'vitest'
import { opensslEngine } from '../../../src/crypto/engines/openssl.js'
import { selectEngines } from '../../../src/crypto/select.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { identityOf } from '../../../src/ike/host-identity.js'

const AT = 2_048
/** ENCR ids and key octets of AES-GCM, AES-CCM and ChaCha20-Poly1305. */
const AEADS = [
  [20, 16],
  [16, 16],
  [28, 32],
] as const

const readsAKey = (): number => identityOf(new Uint8Array(32).fill(3)).publicKey.length

test.each(AEADS)('a forged packet of cipher %i leaves no error for node to find', (id, keyLength) => {
  const engine = opensslEngine()
  if (typeof engine === 'string') throw new Error(engine)
  const slab = nativeSlab(8_192)
  const aead = engine.aead?.(id, new Uint8Array(keyLength).fill(1), slab)
  expect(aead?.open(AT, AT + 16, 8, AT + 32, 64, AT + 32, AT + 96)).toBe(false)
  expect(readsAKey()).toBe(64)
  aead?.destroy()
})

test('neither do the self-tests of the engines', () => {
  selectEngines('auto', nativeSlab(256 * 1024))
  expect(readsAKey()).toBe(64)
})
