import { getDiffieHellman } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromHex, hex } from '../../../src/bytes/octets.js'
import { KE } from '../../../src/crypto/algorithms.js'
import { generateKeyShare, publicValueLength } from '../../../src/crypto/key-exchange.js'
import { ProtocolError } from '../../../src/errors.js'

const { cases } = JSON.parse(
  readFileSync(new URL('../../vectors/key-exchange.json', import.meta.url), 'utf8'),
) as {
  cases: (Record<'id' | 'private_i' | 'private_r' | 'ke_i' | 'ke_r' | 'shared_secret', string> & {
    group: number
  })[]
}

test.each(cases)('vector $id', (v) => {
  const initiator = generateKeyShare(v.group, fromHex(v.private_i))
  const responder = generateKeyShare(v.group, fromHex(v.private_r))
  expect(hex(initiator.publicValue)).toBe(v.ke_i)
  expect(hex(responder.publicValue)).toBe(v.ke_r)
  expect(hex(initiator.computeSecret(fromHex(v.ke_r)))).toBe(v.shared_secret)
  expect(hex(responder.computeSecret(fromHex(v.ke_i)))).toBe(v.shared_secret)
})

test.each(Object.entries(KE))('%s: fresh shares agree, and differ each time', (_, group) => {
  const a = generateKeyShare(group)
  const b = generateKeyShare(group)
  expect(a.publicValue.length).toBe(publicValueLength(group))
  expect(a.publicValue).not.toEqual(b.publicValue)
  expect(a.computeSecret(b.publicValue)).toEqual(b.computeSecret(a.publicValue))
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
