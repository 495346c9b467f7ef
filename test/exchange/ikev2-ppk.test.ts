import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '../../src/bytes/octets.js'
import type { IkePeerConfig } from '../../src/ike/config.js'
import type { Ppk } from '../../src/ike/ike-sa.js'
import type { Keying } from '../../src/ike/v2/keying.js'
import { mixed } from '../../src/ike/v2/ppk.js'
import { parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { parseChain } from '../../src/wire/ike/v2/chain.js'
import { parseNotify } from '../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import { convergence, type IkeEnds, ikePeer, mirroredPeer, twoIkes } from './ike-ends.js'

// Post-quantum preshared keys, RFC 8784.

const ppk = (over: Partial<Ppk> = {}): Ppk => ({
  id: utf8('pair'),
  key: new Uint8Array(32).fill(7),
  required: true,
  ...over,
})
const otherKey = ppk({ key: new Uint8Array(32).fill(8) })

/** Two ends without pre-phase, each with a PPK or none. */
const two = (a?: Ppk, b?: Ppk): IkeEnds =>
  twoIkes({
    config: { version: 2, dynamicPsk: 'off', ...(a && { ppk: a }) },
    // Undefined takes away what B's side would have of A's.
    b: { ppk: b } as Partial<IkePeerConfig>,
  })

function tried(ends: IkeEnds, forMs = 3_000): IkeEnds {
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(forMs)
  return ends
}

/** Notify types of a message in the clear. */
const notifies = (message: Uint8Array): number[] =>
  parseChain(parseIkeHeader(message), message)
    .payloads.filter((p) => p.type === PAYLOAD.NOTIFY)
    .map((p) => parseNotify(p.body).type)

const lastErrors = ({ a, b }: IkeEnds) =>
  [a.peer.lastError?.message ?? '', b.peer.lastError?.message ?? ''] as const

test('SK_d, SK_pi and SK_pr are mixed as RFC 8784 section 3 says, the others stay', () => {
  const key = (fill: number) => new Uint8Array(32).fill(fill)
  const keys = { d: key(1), ai: key(2), ar: key(3), ei: key(4), er: key(5), pi: key(6), pr: key(7) }
  const keying = { proposal: { prf: 5 }, keys } as unknown as Keying
  const secret = Uint8Array.from({ length: 40 }, (_, i) => i)
  const { keys: m } = mixed(keying, ppk({ key: secret }))
  for (const name of ['d', 'pi', 'pr'] as const) {
    // prf+ with one block: prf(K, S | 0x01).
    const expected = createHmac('sha256', secret)
      .update(concat(keys[name], Uint8Array.of(1)))
      .digest()
    expect(Buffer.from(m[name]), name).toEqual(expected)
  }
  for (const name of ['ai', 'ar', 'ei', 'er'] as const) expect(m[name]).toBe(keys[name])
})

describe('the hardened pre-phase', () => {
  test('makes a PPK for every IKE SA, named by its initiator cookie; children and renewals go on under it', () => {
    const ends = tried(twoIkes({ config: { version: 2, dynamicPsk: 'hardened', ikeLifetimeSeconds: 120 } }))
    const { network, a, b } = ends
    expect(convergence(ends)).toEqual([])
    const [request, response] = network.sent.filter((d) => d.message[18] === 34).map((d) => d.message)
    expect(notifies(request!)).toContain(NOTIFY.USE_PPK)
    expect(notifies(response!)).toContain(NOTIFY.USE_PPK)
    for (const e of [a, b]) expect(e.peer.lastError).toBeUndefined()
    network.runFor(600_000)
    expect(convergence(ends)).toEqual([])
  })

  test('requires it: USE_PPK taken out on the way ends in no IKE SA', () => {
    for (const index of [4, 5]) {
      const ends = twoIkes({ config: { version: 2, dynamicPsk: 'hardened' } })
      withoutUsePpk(ends, index)
      tried(ends, 900)
      expect(ends.a.established().length + ends.b.established().length, `message ${index}`).toBe(0)
    }
  })
})

describe('static keys', () => {
  const optional = { required: false }
  test.each<[string, Ppk | undefined, Ppk | undefined]>([
    ['both have it', ppk(), ppk()],
    ['both have it, none requires it', ppk(optional), ppk(optional)],
    ['one of them requires it', ppk(optional), ppk()],
    ['the responder has none, and need not', ppk(optional), undefined],
    ['the initiator has none, and need not', undefined, ppk(optional)],
    ['names differ, and it may be missing', ppk(optional), ppk({ ...optional, id: utf8('other') })],
  ])('%s', (_, a, b) => {
    const ends = tried(two(a, b))
    expect(convergence(ends)).toEqual([])
    expect(lastErrors(ends)).toEqual(['', ''])
    expect(ends.network.sent.length).toBe(4)
    ends.network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
  })

  test.each<[string, Ppk | undefined, Ppk | undefined, RegExp, RegExp]>([
    [
      'other keys',
      ppk(),
      otherKey,
      /preshared keys? differ|AUTHENTICATION_FAILED/,
      /pre-shared key or post-quantum preshared key differs/,
    ],
    [
      'other names',
      ppk(),
      ppk({ id: utf8('x') }),
      /AUTHENTICATION_FAILED/,
      /names another post-quantum preshared key/,
    ],
    [
      'the responder has none',
      ppk(),
      undefined,
      /no post-quantum preshared key \(RFC 8784\), which we require/,
      /IKE_AUTH did not come/,
    ],
    [
      'the initiator has none',
      undefined,
      ppk(),
      /NO_PROPOSAL_CHOSEN/,
      /no post-quantum preshared key \(RFC 8784\), which we require/,
    ],
    [
      'the initiator requires it, the responder knows it by another name',
      ppk(),
      ppk({ required: false, id: utf8('x') }),
      /AUTHENTICATION_FAILED/,
      /requires a post-quantum preshared key that is not ours/,
    ],
    [
      'the other names of one that requires it',
      ppk({ required: false }),
      ppk({ id: utf8('x') }),
      /AUTHENTICATION_FAILED/,
      /names another/,
    ],
  ])('%s: no IKE SA, and each end says why', (_, a, b, ofA, ofB) => {
    const ends = tried(two(a, b), 40_000)
    expect(ends.a.established().length + ends.b.established().length).toBe(0)
    const [onA, onB] = lastErrors(ends)
    expect(onA).toMatch(ofA)
    expect(onB).toMatch(ofB)
  })

  test('a PPK that may be missing cannot be argued away on the wire: AUTH covers USE_PPK', () => {
    for (const index of [0, 1]) {
      const ends = two(ppk({ required: false }), ppk({ required: false }))
      withoutUsePpk(ends, index)
      tried(ends, 900)
      expect(ends.a.established().length + ends.b.established().length, `message ${index}`).toBe(0)
    }
  })

  test('the pre-phase’s own takes the place of none with classic: the static one is used', () => {
    const config = ikePeer({ version: 2, dynamicPsk: 'classic', ppk: ppk() })
    const ends = tried(twoIkes({ config, b: { ...mirroredPeer(config), ppk: otherKey } }), 20_000)
    expect(ends.a.established()).toEqual([])
    expect(convergence(tried(twoIkes({ config })))).toEqual([])
  })
})

/** Datagram `index` loses its USE_PPK on the way. */
function withoutUsePpk(ends: IkeEnds, index: number): void {
  ends.network.impairment = (d) => {
    if (d.index !== index) return [5]
    const header = parseIkeHeader(d.message)
    const { payloads } = parseChain(header, d.message)
    const kept = payloads.filter(
      (p) => p.type !== PAYLOAD.NOTIFY || parseNotify(p.body).type !== NOTIFY.USE_PPK,
    )
    expect(kept.length).toBe(payloads.length - 1)
    ends.network.inject(d.from, d.to, emitMessage(header, kept), 5)
    return []
  }
}
