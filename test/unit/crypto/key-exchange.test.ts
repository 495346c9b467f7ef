import { getDiffieHellman } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { KE } from '../../../src/crypto/algorithms.js'
import {
  generateKeyShare,
  groupName,
  hasGroup,
  publicValueLength,
  secretLength,
} from '../../../src/crypto/key-exchange.js'
import { InternalError, ProtocolError } from '../../../src/errors.js'

const { cases, modp_primes: primes } = JSON.parse(
  readFileSync(new URL('../../vectors/key-exchange.json', import.meta.url), 'utf8'),
) as {
  cases: (Record<'id' | 'private_i' | 'private_r' | 'ke_i' | 'ke_r' | 'shared_secret', string> & {
    group: number
  })[]
  modp_primes: { id: string; group: number; generator: number; prime: string }[]
}

/** ML-KEM is another kind of exchange: test/unit/crypto/ml-kem.test.ts. */
const { ML_KEM_768: _, ...GROUPS } = KE

test.each(cases)('vector $id', (v) => {
  const initiator = generateKeyShare(v.group, fromHex(v.private_i))
  const responder = generateKeyShare(v.group, fromHex(v.private_r))
  expect(hex(initiator.publicValue)).toBe(v.ke_i)
  expect(hex(responder.publicValue)).toBe(v.ke_r)
  expect(hex(initiator.computeSecret(fromHex(v.ke_r)))).toBe(v.shared_secret)
  expect(hex(responder.computeSecret(fromHex(v.ke_i)))).toBe(v.shared_secret)
})

test.each(Object.entries(GROUPS))('%s: fresh shares agree, and differ each time', (_, group) => {
  const a = generateKeyShare(group)
  const b = generateKeyShare(group)
  expect(a.publicValue.length).toBe(publicValueLength(group))
  expect(a.publicValue).not.toEqual(b.publicValue)
  const secret = a.computeSecret(b.publicValue)
  expect(secret.length).toBe(secretLength(group))
  expect(secret).toEqual(b.computeSecret(a.publicValue))
})

test.each(primes)('$id has the prime and the generator of its RFC', ({ group, generator, prime }) => {
  const node = getDiffieHellman(`modp${group}`)
  expect(node.getPrime('hex')).toBe(prime)
  expect(node.getGenerator('hex')).toBe(`0${generator}`)
  expect(secretLength(group)).toBe(prime.length / 2)
})

test.each(Object.entries(GROUPS))(
  '%s: a destroyed share keeps its public value and computes nothing',
  (_, group) => {
    const share = generateKeyShare(group)
    const before = hex(share.publicValue)
    const peer = generateKeyShare(group).publicValue
    const secret = share.computeSecret(peer)
    share.destroy()
    share.destroy()
    expect(hex(share.publicValue)).toBe(before)
    // What was handed out is the caller's.
    expect(secret.some((v) => v !== 0)).toBe(true)
    expect(() => share.computeSecret(peer)).toThrow(InternalError)
  },
)

test('a group that sallyport does not have', () => {
  expect(hasGroup(KE.ECP256)).toBe(true)
  expect([hasGroup(2), publicValueLength(2), secretLength(2), groupName(2)]).toEqual([false, 0, 0, 'group 2'])
  expect(() => generateKeyShare(2)).toThrow(InternalError)
})

test('the high bit of an X25519 value is ignored (RFC 7748 section 5)', () => {
  const share = generateKeyShare(KE.CURVE25519)
  const peer = generateKeyShare(KE.CURVE25519).publicValue
  const masked = Uint8Array.from(peer)
  masked[31]! |= 0x80
  expect(share.computeSecret(masked)).toEqual(share.computeSecret(peer))
})

const ones = (n: number): Uint8Array => new Uint8Array(n).fill(0xff)
const last = (n: number, v: number): Uint8Array => {
  const out = new Uint8Array(n)
  out[n - 1] = v
  return out
}

const primeLessOne = Uint8Array.from(getDiffieHellman('modp14').getPrime())
primeLessOne[255] = primeLessOne[255]! - 1

test.each<[string, number, Uint8Array]>([
  ['zero', KE.MODP2048, new Uint8Array(256)],
  ['one', KE.MODP2048, last(256, 1)],
  ['the prime less one', KE.MODP2048, primeLessOne],
  ['above the prime', KE.MODP2048, ones(256)],
  ['too short', KE.MODP2048, last(255, 2)],
  ['not on the curve', KE.ECP256, last(64, 7)],
  ['too long', KE.ECP384, new Uint8Array(97)],
  ['the zero point', KE.ECP521, new Uint8Array(132)],
  ['of small order', KE.CURVE25519, new Uint8Array(32)],
  [
    'of small order',
    KE.CURVE25519,
    (() => {
      const p = new Uint8Array(32)
      p[0] = 1
      return p
    })(),
  ],
])('a public value that is %s (group %i) is refused by name', (_, group, value) => {
  const share = generateKeyShare(group)
  expect(() => share.computeSecret(value)).toThrow(ProtocolError)
  expect(() => share.computeSecret(value)).toThrow(/INVALID_KEY_INFORMATION/)
})
