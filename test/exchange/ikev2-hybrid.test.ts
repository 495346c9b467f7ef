import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat } from '../../src/bytes/octets.js'
import { formatIkeProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { intAuthOf } from '../../src/ike/v2/intermediate.js'
import type { Keying } from '../../src/ike/v2/keying.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { parseChain } from '../../src/wire/ike/v2/chain.js'
import { parseNotify } from '../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD, TRANSFORM } from '../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../src/wire/ike/v2/sa.js'
import { convergence, type IkeEnds, type TwoIkes, twoIkes } from './ike-ends.js'
import type { Datagram } from './virtual-network.js'

// A second key exchange, RFC 9370, in IKE_INTERMEDIATE, RFC 9242.

const HYBRID = 'aes128gcm16-prfsha256-x25519-ke1_mlkem768'
const CLASSICAL = 'aes128gcm16-prfsha256-x25519'
const proposals = (...texts: string[]) => texts.map(parseIkeProposal)

function two(a: string[], b: string[], more: TwoIkes['config'] = {}): IkeEnds {
  const common = { version: 2, dynamicPsk: 'off', ...more } as const
  return twoIkes({ config: { ...common, proposals: proposals(...a) }, b: { proposals: proposals(...b) } })
}

function tried(ends: IkeEnds, forMs = 3_000): IkeEnds {
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(forMs)
  return ends
}

/** Messages in order, each once: what goes in fragments has several datagrams. */
const exchanges = ({ network }: IkeEnds): number[] => {
  const kinds = network.sent.map(
    (d) => `${Buffer.from(d.message.subarray(0, 8)).toString('hex')} ${d.message.subarray(18, 24)}`,
  )
  return network.sent.filter((_, i) => kinds.indexOf(kinds[i]!) === i).map((d) => d.message[18]!)
}
const agreed = ({ a, b }: IkeEnds) => [a, b].map((e) => e.peer.ikeSas.map((sa) => sa.proposal))
const { IKE_SA_INIT, IKE_INTERMEDIATE, IKE_AUTH } = EXCHANGE

test('the proposal is read and written as strongSwan writes it', () => {
  const proposal = parseIkeProposal(HYBRID)
  expect(proposal).toMatchObject({ group: 31, additional: 36 })
  expect(formatIkeProposal(proposal)).toBe(HYBRID)
  expect(() => parseIkeProposal('aes128-sha256-ke1_mlkem768')).toThrow(/key exchange/)
  expect(() => parseIkeProposal('aes128-sha256-mlkem768')).toThrow(/no algorithm/)
})

test('IntAuth is made as RFC 9242 section 3.3.2 says', () => {
  const keys = { pi: new Uint8Array(32).fill(1), pr: new Uint8Array(32).fill(2) }
  const keying = { proposal: { prf: 5 }, keys } as unknown as Keying
  const plaintext = Uint8Array.from({ length: 300 }, (_, i) => i & 0xff)
  const [spiI, spiR] = [new Uint8Array(8).fill(3), new Uint8Array(8).fill(4)]
  const header = {
    initiatorSpi: spiI,
    responderSpi: spiR,
    version: 0x20,
    exchange: 43,
    flags: 0x08,
    messageId: 1,
  }
  const chunk = concat(
    spiI,
    spiR,
    // SK, version, exchange, flags; Message ID; adjusted length; generic header with adjusted length.
    Uint8Array.of(46, 0x20, 43, 0x08, 0, 0, 0, 1, 0, 0, 0x01, 0x4c, 34, 0, 0x01, 0x30),
    plaintext,
  )
  for (const [prover, key] of [
    ['initiator', keys.pi],
    ['responder', keys.pr],
  ] as const)
    expect(Buffer.from(intAuthOf(keying, prover, header, 34, plaintext))).toEqual(
      createHmac('sha256', key).update(chunk).digest(),
    )
})

describe('agreement', () => {
  test.each(['off', 'classic', 'hardened'] as const)('both have it, dynamic_psk: %s', (dynamicPsk) => {
    const ends = tried(two([HYBRID, CLASSICAL], [HYBRID, CLASSICAL], { dynamicPsk }))
    expect(convergence(ends)).toEqual([])
    expect(exchanges(ends).slice(dynamicPsk === 'off' ? 0 : 4)).toEqual([
      ...[IKE_SA_INIT, IKE_SA_INIT, IKE_INTERMEDIATE, IKE_INTERMEDIATE, IKE_AUTH, IKE_AUTH],
    ])
    expect(agreed(ends)).toEqual([[HYBRID], [HYBRID]])
    ends.network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
  })

  test.each([
    ['the responder has none', [HYBRID, CLASSICAL], [CLASSICAL]],
    ['the initiator has none', [CLASSICAL], [HYBRID, CLASSICAL]],
  ])('%s: the first one alone', (_, a, b) => {
    const ends = tried(two(a, b))
    expect(convergence(ends)).toEqual([])
    expect(agreed(ends)).toEqual([[CLASSICAL], [CLASSICAL]])
    expect(exchanges(ends)).not.toContain(IKE_INTERMEDIATE)
  })

  test('one end insists: no IKE SA, and the difference is named', () => {
    const ends = tried(two([HYBRID], [CLASSICAL]), 40_000)
    expect(ends.a.established()).toEqual([])
    expect(ends.b.env.logged('second key exchange')).toBe(true)
    const other = tried(two([CLASSICAL], [HYBRID]), 40_000)
    expect(other.b.established()).toEqual([])
    expect(other.b.env.logged('second key exchange')).toBe(true)
  })

  test('in fragments, where one is lost now and then', () => {
    const ends = two([HYBRID], [HYBRID], { fragmentSize: 400 })
    const first = ends.network.sent.length
    ends.network.impairment = (d) => (d.index > first && d.index % 5 === 3 && d.index < 30 ? [] : [5])
    tried(ends, 30_000)
    expect(convergence(ends)).toEqual([])
    expect(ends.network.sent.filter((d) => d.message[18] === IKE_INTERMEDIATE).length).toBeGreaterThan(6)
  })

  test('with a PPK as well, and over renewals of both kinds of SA', () => {
    const ends = tried(two([HYBRID], [HYBRID], { dynamicPsk: 'hardened', ikeLifetimeSeconds: 120 }))
    const spi = ends.a.established()[0]!.initiatorSpi
    ends.network.runFor(300_000)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.established()[0]!.initiatorSpi).not.toBe(spi)
    // No second key exchange is needed: SK_d has the first one's in it.
    expect(exchanges(ends).filter((e) => e === IKE_INTERMEDIATE).length).toBe(2)
  })

  test('both begin at once', () => {
    for (let seed = 0; seed < 8; seed++) {
      const config = { version: 2, dynamicPsk: 'hardened', proposals: proposals(HYBRID) } as const
      const ends = twoIkes({ config, seed })
      ends.b.ike.acquire(ends.network.now, 1)
      tried(ends, 20_000)
      expect(convergence(ends), `seed ${seed}`).toEqual([])
    }
  })
})

describe('a bad way', () => {
  test.each([0, 1, 2, 3, 4, 5])('message %i is lost, doubled or late', (index) => {
    for (const fate of [[], [5, 9], [700], [5, 2_500]]) {
      const ends = two([HYBRID], [HYBRID])
      ends.network.impairment = (d) => (d.index === index ? fate : [5])
      tried(ends, 12_000)
      expect(convergence(ends), JSON.stringify(fate)).toEqual([])
    }
  })

  test('every octet of IKE_INTERMEDIATE is protected, and an answer that was changed is waited out', () => {
    for (const index of [2, 3])
      for (let at = 0; at < 1_100; at += 37) {
        const ends = two([HYBRID], [HYBRID])
        let spoilt = 0
        ends.network.impairment = (d) => {
          if (d.index !== index || spoilt++ > 0) return [5]
          const message = Uint8Array.from(d.message)
          message[at]! ^= 0x10
          ends.network.inject(d.from, d.to, message, 5)
          return []
        }
        tried(ends, 8_000)
        expect(convergence(ends), `octet ${at} of message ${index}`).toEqual([])
      }
  })
})

describe('somebody on the way who would rather have the first key exchange alone', () => {
  const change = (ends: IkeEnds, index: number, how: (d: Datagram) => Uint8Array): void => {
    ends.network.impairment = (d) => {
      if (d.index !== index) return [5]
      ends.network.inject(d.from, d.to, how(d), 5)
      return []
    }
  }
  const withoutSecond = (d: Datagram): Uint8Array => {
    const header = parseIkeHeader(d.message)
    const { payloads } = parseChain(header, d.message)
    return emitMessage(
      header,
      payloads.map((p) => {
        if (p.type !== PAYLOAD.SA) return p
        const kept = parseSa(p.body).filter((x) => x.transforms.every((t) => t.type !== TRANSFORM.ADDKE1))
        return { type: p.type, body: emitSa(kept) }
      }),
    )
  }
  const withoutSupport = (d: Datagram): Uint8Array => {
    const header = parseIkeHeader(d.message)
    const { payloads } = parseChain(header, d.message)
    const kept = payloads.filter(
      (p) => p.type !== PAYLOAD.NOTIFY || parseNotify(p.body).type !== NOTIFY.INTERMEDIATE_EXCHANGE_SUPPORTED,
    )
    expect(kept.length).toBe(payloads.length - 1)
    return emitMessage(header, kept)
  }

  test.each<[string, number, (d: Datagram) => Uint8Array]>([
    ['the offer loses it', 0, withoutSecond],
    ['the request loses the support', 0, withoutSupport],
    ['the response loses the support', 1, withoutSupport],
  ])('%s: AUTH does not verify', (_, index, how) => {
    const ends = two([HYBRID, CLASSICAL], [HYBRID, CLASSICAL])
    change(ends, index, how)
    tried(ends, 900)
    expect(ends.a.established().length + ends.b.established().length).toBe(0)
    ends.network.impairment = () => [5]
    ends.network.runFor(40_000)
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(40_000)
    expect(convergence(ends)).toEqual([])
  })
})
