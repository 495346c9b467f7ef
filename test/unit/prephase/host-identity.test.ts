import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto'
import { expect, test } from 'vitest'
import { hex } from '../../../src/bytes/octets.js'
import {
  formatPublicKey,
  identityFingerprint,
  identityOf,
  pairKey,
  parsePublicKey,
  pemOf,
  signingKey,
} from '../../../src/ike/host-identity.js'

const seed = (n: number): Uint8Array => new Uint8Array(32).map((_, i) => i * n + 5)

/** The derivation as the documentation gives it, over node's own HKDF and X25519. */
function twin(a: Uint8Array, b: Uint8Array): Buffer {
  const pkcs8 = (s: Uint8Array) => {
    const raw = Buffer.from(hkdfSync('sha256', s, 'sallyport identity 1', 'x25519', 32))
    const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), raw])
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  }
  const secret = diffieHellman({ privateKey: pkcs8(a), publicKey: createPublicKey(pkcs8(b)) })
  const ends = [identityOf(a).publicKey, identityOf(b).publicKey].sort(Buffer.compare)
  const prk = createHmac('sha256', 'sallyport pair 1').update(secret).digest()
  return createHmac('sha256', prk)
    .update(Buffer.concat([...ends, Uint8Array.of(1)]))
    .digest()
}

test('both ends have the same K_ab, which is the documented one', () => {
  for (const [x, y] of [
    [3, 4],
    [9, 2],
    [7, 13],
  ] as const) {
    const [a, b] = [identityOf(seed(x)), identityOf(seed(y))]
    expect(hex(pairKey(a, b.publicKey))).toBe(hex(pairKey(b, a.publicKey)))
    expect(hex(pairKey(a, b.publicKey))).toBe(twin(seed(x), seed(y)).toString('hex'))
  }
})

test('the key belongs to the whole public keys, not to their X25519 halves alone', () => {
  const [a, b, c] = [identityOf(seed(3)), identityOf(seed(4)), identityOf(seed(6))]
  const mixed = new Uint8Array(b.publicKey)
  mixed.set(signingKey(c.publicKey))
  expect(hex(pairKey(a, mixed))).not.toBe(hex(pairKey(a, b.publicKey)))
  expect(identityFingerprint(mixed)).not.toBe(identityFingerprint(b.publicKey))
})

test('a public key is read as sallyport shows it, or as the line of a PEM file', () => {
  const { publicKey } = identityOf(seed(3))
  const signing = signingKey(publicKey)
  expect(parsePublicKey(formatPublicKey(publicKey))).toEqual(publicKey)
  const pem = createPublicKey(pemOf(signing)).export({ format: 'pem', type: 'spki' }) as string
  expect(pem).toBe(pemOf(signing))
  expect(parsePublicKey(pem.split('\n')[1]!)).toEqual(signing)
  const other = generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' })
  for (const text of [
    other.toString('base64'),
    formatPublicKey(publicKey).slice(0, -4),
    pem,
    '',
    `${formatPublicKey(publicKey).slice(0, -3)}x==`,
  ])
    expect(parsePublicKey(text), text).toBeUndefined()
})

test('three hosts have three keys', () => {
  const hosts = [3, 4, 6].map((n) => identityOf(seed(n)))
  const keys = hosts.flatMap((a, i) => hosts.slice(i + 1).map((b) => hex(pairKey(a, b.publicKey))))
  expect(new Set(keys).size).toBe(3)
})
