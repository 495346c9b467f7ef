import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ENCR } from '../../../src/crypto/algorithms.js'
import { random } from '../../../src/crypto/random.js'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { Cookies } from '../../../src/ike/v2/cookies.js'
import { headOf, makeKeying, sealed } from '../../../src/ike/v2/keying.js'
import { compareNonces, lowerNonce } from '../../../src/ike/v2/nonces.js'
import { whole } from '../../../src/ike/v2/outgoing.js'
import { narrow, sameSelectors } from '../../../src/ike/v2/selectors.js'
import { Window } from '../../../src/ike/v2/window.js'
import { EXCHANGE, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { parseChain } from '../../../src/wire/ike/v2/chain.js'
import { parsePrefix } from '../../../src/wire/ip-address.js'
import { selectorContains, selectorOf, type TrafficSelector } from '../../../src/wire/traffic-selector.js'

describe('encrypted messages', () => {
  const x = { spiI: random(8), spiR: random(8), ni: random(32), nr: random(32) }
  const payloads = [
    { type: 41, body: random(9) },
    { type: 40, body: random(33) },
  ]
  test.each([
    'aes128-sha1-x25519',
    'aes256-sha512-x25519',
    'aes192ctr-sha384-x25519',
    'aes128-aesxcbc-x25519',
    'aes128gcm16-prfsha256-x25519',
    'aes256ccm12-prfaescmac-x25519',
    'chacha20poly1305-prfsha512-x25519',
  ])('%s: what one end seals the other opens, and nobody else', (text) => {
    const proposal = parseIkeProposal(text)
    const seed = random(64)
    const [a, b] = [
      makeKeying('initiator', proposal, seed, x, random),
      makeKeying('responder', proposal, seed, x, random),
    ]
    const message = sealed(a, EXCHANGE.INFORMATIONAL, 5, false, payloads).datagrams[0]!
    const header = parseIkeHeader(message)
    expect(header).toMatchObject(headOf('initiator', x.spiI, x.spiR, EXCHANGE.INFORMATIONAL, 5, false))
    const open = (m: Uint8Array) => b.opener.openPayloads(m, parseChain(parseIkeHeader(m), m).encrypted)
    expect(open(message)).toEqual(payloads.map((p) => ({ ...p, critical: false })))
    // Its own sender cannot have sent it, and the header belongs to it.
    expect(a.opener.openPayloads(message, parseChain(header, message).encrypted)).toBeUndefined()
    for (const i of [0, 8, 18, 19, 23, message.length - 1]) {
      const bad = new Uint8Array(message)
      bad[i]! ^= 1
      expect(open(bad)).toBeUndefined()
    }
  })

  test('no IV comes twice under one key, and a CBC one cannot be foretold', () => {
    for (const text of ['aes128gcm16-prfsha256-x25519', 'aes128-sha256-x25519']) {
      const proposal = parseIkeProposal(text)
      const k = makeKeying('initiator', proposal, random(32), x, random)
      const length = proposal.encryption.id === ENCR.AES_CBC ? 16 : 8
      const ivs = new Set<string>()
      for (let i = 0; i < 300; i++)
        ivs.add(
          Buffer.from(sealed(k, 37, i, false, []).datagrams[0]!.subarray(32, 32 + length)).toString('hex'),
        )
      expect(ivs.size).toBe(300)
    }
  })
})

describe('cookies', () => {
  const subject = {
    ni: random(32),
    from: { address: Uint8Array.of(192, 0, 2, 1), port: 500 },
    spiI: random(8),
  }
  test('verify for what they were made for, for a while', () => {
    const cookies = new Cookies(random)
    const cookie = cookies.make(1_000, subject)
    expect(cookies.verify(1_000, subject, cookie)).toBe(true)
    expect(cookies.verify(40_000, subject, cookie)).toBe(true)
    expect(cookies.verify(70_000, subject, cookie)).toBe(false)
  })
  test('and for nothing else', () => {
    const cookies = new Cookies(random)
    const cookie = cookies.make(0, subject)
    for (const other of [
      { ...subject, ni: random(32) },
      { ...subject, spiI: random(8) },
      { ...subject, from: { ...subject.from, port: 501 } },
      { ...subject, from: { ...subject.from, address: Uint8Array.of(192, 0, 2, 2) } },
    ])
      expect(cookies.verify(0, other, cookie)).toBe(false)
    expect(cookies.verify(0, subject, cookie.subarray(1))).toBe(false)
    expect(cookies.verify(0, subject, new Uint8Array(0))).toBe(false)
    expect(new Cookies(random).verify(0, subject, cookie)).toBe(false)
  })
})

describe('narrowing', () => {
  const s = (text: string, over: Partial<TrafficSelector> = {}) => ({
    ...selectorOf(parsePrefix(text)!),
    ...over,
  })
  test.each([
    [['10.0.0.0/8'], ['10.1.0.0/16', '10.2.0.0/16'], ['10.1.0.0/16', '10.2.0.0/16']],
    [['10.1.2.0/24', '10.3.0.0/16'], ['10.1.0.0/16'], ['10.1.2.0/24']],
    [['10.1.2.3/32', '10.1.0.0/16'], ['10.0.0.0/8'], ['10.1.0.0/16']],
    [['10.1.0.0/16', '10.1.0.0/16'], ['10.0.0.0/8'], ['10.1.0.0/16']],
    [['2001:db8::/32'], ['10.0.0.0/8'], []],
    [['10.1.0.0/16'], ['10.2.0.0/16'], []],
  ])('%j by %j is %j', (asked, ours, left) => {
    expect(
      narrow(
        asked.map((x) => s(x)),
        ours.map((x) => s(x)),
      ),
    ).toEqual(left.map((x) => s(x)))
  })
  test('protocols and ports', () => {
    const asked = [s('10.0.0.0/8', { protocol: 6, startPort: 20, endPort: 80 })]
    expect(narrow(asked, [s('10.0.0.0/8', { startPort: 22, endPort: 22 })])).toEqual([
      s('10.0.0.0/8', { protocol: 6, startPort: 22, endPort: 22 }),
    ])
    expect(narrow(asked, [s('10.0.0.0/8', { protocol: 17 })])).toEqual([])
    expect(narrow(asked, [s('10.0.0.0/8', { protocol: 6, startPort: 81 })])).toEqual([])
  })
  test('nothing is left that one of the two would not have, and nothing is lost that both have', () => {
    const range = fc
      .tuple(fc.nat(40), fc.nat(40), fc.constantFrom(0, 6, 17), fc.nat(9), fc.nat(9))
      .map(([x, y, protocol, p, q]): TrafficSelector => {
        const [low, high] = [Math.min(x, y), Math.max(x, y)]
        return {
          start: Uint8Array.of(10, 0, 0, low),
          end: Uint8Array.of(10, 0, 0, high),
          protocol,
          startPort: Math.min(p, q),
          endPort: Math.max(p, q),
        }
      })
    const list = fc.array(range, { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(list, list, fc.nat(40), fc.constantFrom(6, 17), fc.nat(9), (a, b, host, protocol, port) => {
        const packet: TrafficSelector = {
          start: Uint8Array.of(10, 0, 0, host),
          end: Uint8Array.of(10, 0, 0, host),
          protocol,
          startPort: port,
          endPort: port,
        }
        const matches = (l: readonly TrafficSelector[]): boolean => l.some((x) => selectorContains(x, packet))
        const left = narrow(a, b)
        expect(matches(left)).toBe(matches(a) && matches(b))
        expect(sameSelectors(narrow(a, a), narrow(narrow(a, a), a))).toBe(true)
      }),
    )
  })
})

test('nonces: octet by octet, the shorter one first', () => {
  expect(compareNonces(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBeLessThan(0)
  expect(compareNonces(Uint8Array.of(1, 2, 0), Uint8Array.of(1, 2))).toBeGreaterThan(0)
  expect(compareNonces(Uint8Array.of(255), Uint8Array.of(1, 255))).toBeGreaterThan(0)
  expect(lowerNonce(Uint8Array.of(9), Uint8Array.of(8))).toEqual(Uint8Array.of(8))
})

describe('the window', () => {
  const path = {
    local: { address: Uint8Array.of(192, 0, 2, 1), port: 500 },
    remote: { address: Uint8Array.of(192, 0, 2, 2), port: 500 },
  }
  test('repeats the same octets on schedule, and gives up', () => {
    const w = new Window(4)
    const message = whole(random(40))
    w.send(100, message, path, [10, 20])
    expect(w.due(105)).toBeUndefined()
    expect(w.due(110)).toMatchObject({ message })
    expect(w.nextDeadline()).toBe(130)
    expect(w.due(130)).toBe('silent')
    expect(w.isWaiting).toBe(false)
  })
  test('a response is for the request under way alone', () => {
    const w = new Window(4)
    expect(w.answers(0)).toBe(false)
    w.send(0, whole(random(4)), path, [10])
    expect([w.answers(0), w.answers(1)]).toEqual([true, false])
    w.finish()
    expect([w.answers(0), w.nextId]).toEqual([false, 1])
  })
  test('a repeated request gets the same response, so often and no more; another one with its ID gets none', () => {
    const w = new Window(2)
    const [request, response] = [random(40), whole(random(50))]
    w.answered(request, response)
    expect(w.expectedId).toBe(1)
    expect(w.repeated(0, new Uint8Array(request))).toBe(response)
    expect(w.repeated(0, random(40))).toBeUndefined()
    expect(w.repeated(1, request)).toBeUndefined()
    expect(w.repeated(0, request)).toBe(response)
    expect(w.repeated(0, request)).toBe('enough')
  })
})
