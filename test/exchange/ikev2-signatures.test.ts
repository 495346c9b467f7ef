import { describe, expect, test } from 'vitest'
import type { IkePeerConfig, Signatures } from '../../src/ike/config.js'
import { formatRawPublicKey, identityOf, signingKey } from '../../src/ike/host-identity.js'
import { convergence, type IkeEnds, twoIkes } from './ike-ends.js'

// Authentication by raw public keys: RFC 7427, RFC 8420, RFC 7670.

const [A, B, C] = [3, 4, 6].map((n) => identityOf(new Uint8Array(32).map((_, i) => i * n + 5)))

const between = (own = A!, peer = B!): Signatures => ({
  sign: new Uint8Array(own.sign),
  own: signingKey(own.publicKey),
  peer: signingKey(peer.publicKey),
})

const two = (
  config: Partial<IkePeerConfig>,
  a: Signatures | undefined = between(A, B),
  b: Signatures | undefined = between(B, A),
): IkeEnds =>
  twoIkes({
    config: { version: 2, signatures: a!, ...config },
    b: { signatures: b } as Partial<IkePeerConfig>,
  })

function tried(ends: IkeEnds, forMs = 3_000): IkeEnds {
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(forMs)
  return ends
}

const lastErrors = ({ a, b }: IkeEnds) =>
  [a.peer.lastError?.message ?? '', b.peer.lastError?.message ?? ''] as const

describe('public keys', () => {
  test.each<[string, Partial<IkePeerConfig>]>([
    ['behind the hardened pre-phase', { dynamicPsk: 'hardened' }],
    ['alone', { dynamicPsk: 'off', key: new Uint8Array(0) }],
    [
      'with a PPK',
      { dynamicPsk: 'off', ppk: { id: Uint8Array.of(1), key: new Uint8Array(32).fill(7), required: true } },
    ],
  ])('%s, and renewals go on under them', (_, config) => {
    const ends = tried(two({ ...config, ikeLifetimeSeconds: 120 }))
    expect(convergence(ends)).toEqual([])
    ends.network.runFor(300_000)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.env.counted('ike.established')).toBe(1)
  })

  test('a PPK that one end may do without: what is signed is then without it too', () => {
    const ppk = (fill: number) => ({
      id: Uint8Array.of(fill),
      key: new Uint8Array(32).fill(fill),
      required: false,
    })
    const ends = twoIkes({
      config: { version: 2, dynamicPsk: 'off', signatures: between(A, B), ppk: ppk(1) },
      b: { signatures: between(B, A), ppk: ppk(2) },
    })
    expect(convergence(tried(ends))).toEqual([])
  })

  test('a peer with another key is refused, and both keys are named where they are shown', () => {
    const ends = tried(two({ dynamicPsk: 'off' }, between(C, B)))
    const [a, b] = lastErrors(ends)
    expect(b).toContain(
      `public key is ${formatRawPublicKey(signingKey(C!.publicKey))} where we have ${formatRawPublicKey(signingKey(A!.publicKey))}`,
    )
    expect(a).toMatch(/AUTHENTICATION_FAILED/)
    expect(ends.b.env.counted('ike.established')).toBe(0)
  })

  test('who only shows the right key does not have it', () => {
    const ends = tried(two({ dynamicPsk: 'off' }, { ...between(C, B), own: signingKey(A!.publicKey) }))
    expect(lastErrors(ends)[1]).toMatch(/signature is not made with the key that we have of it/)
    expect(ends.b.env.counted('ike.established')).toBe(0)
  })

  test('the responder has another key: the initiator ends it at both ends', () => {
    const ends = tried(two({ dynamicPsk: 'off' }, between(A, B), between(C, A)))
    expect(lastErrors(ends)[0]).toMatch(/AUTH does not verify: the peer's public key is/)
    expect(ends.a.env.counted('ike.established')).toBe(0)
    expect(ends.b.established()).toHaveLength(0)
  })

  test.each<[string, 'a' | 'b']>([
    ['the initiator', 'a'],
    ['the responder', 'b'],
  ])('only %s has them: told at both ends, and no PSK in their place', (_, which) => {
    const signatures = which === 'a' ? between(A, B) : between(B, A)
    const ends = tried(
      twoIkes({
        config: { version: 2, dynamicPsk: 'off', ...(which === 'a' && { signatures }) },
        b: { signatures: which === 'b' ? signatures : undefined } as Partial<IkePeerConfig>,
      }),
    )
    const [a, b] = lastErrors(ends)
    expect(`${a}\n${b}`).toMatch(/public key/)
    expect(ends.a.env.counted('ike.established') + ends.b.env.counted('ike.established')).toBe(0)
  })

  test('the wrong identity under the right key', () => {
    const ends = tried(
      twoIkes({
        config: { version: 2, dynamicPsk: 'off', signatures: between(A, B) },
        b: { signatures: between(B, A), remoteId: { type: 2, value: Buffer.from('dom0-x.example') } },
      }),
    )
    expect(lastErrors(ends)[1]).toMatch(
      /has the right key, but its identity is .* where we expect dom0-x\.example/,
    )
  })
})
