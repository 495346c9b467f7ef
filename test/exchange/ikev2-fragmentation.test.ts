import { describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import { parseIp } from '../../src/wire/ip-address.js'
import { childConfig, convergence, type IkeEnds, selector, type TwoIkes, twoIkes } from './ike-ends.js'
import { A } from './prephase-ends.js'
import { type Datagram, unreliable } from './virtual-network.js'

const SIZE = 320
const IPV4_UDP = 28

const isFragment = (d: Datagram): boolean => parseIkeHeader(d.message).nextPayload === PAYLOAD.SKF
const isFirst = (d: Datagram): boolean => parseIkeHeader(d.message).exchange === EXCHANGE.IKE_SA_INIT
const isAuth = (d: Datagram): boolean => parseIkeHeader(d.message).exchange === EXCHANGE.IKE_AUTH
const numberOf = (d: Datagram): number => (d.message[32]! << 8) | d.message[33]!
const isResponse = (d: Datagram): boolean => (parseIkeHeader(d.message).flags & 0x20) !== 0
const fromA = (d: Datagram): boolean => d.from.address[3] === A.address[3]

/** Ends whose later public values of 256 octets fit into no message, nor does IKE_AUTH. */
const ends = (o: TwoIkes = {}): IkeEnds =>
  twoIkes({
    ...o,
    config: {
      version: 2,
      fragmentSize: SIZE,
      dynamicPsk: 'off',
      encapsulation: 'raw',
      proposals: [parseIkeProposal('aes128-sha256-modp2048')],
      children: [
        childConfig({
          proposals: [parseChildProposal('esp', 'aes128gcm16-modp2048')],
          localTs: Array.from({ length: 8 }, (_, i) => selector(`10.88.${i}.0/24`)),
        }),
      ],
      ...o.config,
    },
  })

/** IKE_AUTH, then a CHILD_SA and the IKE SA anew, from either side. */
function story(e: IkeEnds): void {
  const { network, a, b } = e
  a.ike.acquire(network.now, 1)
  network.runFor(70_000)
  for (const end of [a, b]) {
    const current = end.current()[0]
    if (current !== undefined)
      end.ike.expire(network.now, {
        policy: 1,
        direction: 'outbound',
        protocol: 'esp',
        spi: current.outboundSpi,
        limit: 'soft',
        cause: 'asked',
      })
    network.runFor(70_000)
    end.ike.rekey(network.now, end === a ? 'b' : 'a')
    network.runFor(70_000)
  }
}

const faults = (e: IkeEnds): number =>
  [e.a, e.b].reduce((n, end) => n + end.env.counted('ike.malformed') + end.env.counted('ike.bad-icv'), 0)

describe('fragments of IKEv2', () => {
  test('no message is larger than the peers allow, but those of IKE_SA_INIT', () => {
    const e = ends()
    story(e)
    expect(convergence(e)).toEqual([])
    const sent = e.network.sent
    for (const exchange of [EXCHANGE.IKE_AUTH, EXCHANGE.CREATE_CHILD_SA])
      for (const from of [true, false])
        expect(
          sent.filter(
            (d) => isFragment(d) && parseIkeHeader(d.message).exchange === exchange && fromA(d) === from,
          ).length,
        ).toBeGreaterThanOrEqual(2)
    for (const d of sent) if (!isFirst(d)) expect(d.message.length).toBeLessThanOrEqual(SIZE - IPV4_UDP)
    // What is small stays whole.
    expect(sent.some((d) => !isFirst(d) && !isFragment(d))).toBe(true)
    expect(faults(e)).toBe(0)
    expect([e.a, e.b].map((end) => end.env.counted('ike.rekeyed'))).toEqual([2, 2])
  })

  test('IPv6 packets as well', () => {
    const e = ends({ config: { local: parseIp('2001:db8::1')!, remote: parseIp('2001:db8::2')! } })
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
    const rest = e.network.sent.filter((d) => !isFirst(d))
    expect(Math.max(...rest.map((d) => d.message.length))).toBeLessThanOrEqual(SIZE - 48)
    expect(rest.every(isFragment)).toBe(true)
  })

  test.each(['a', 'b'])('nothing is cut when %s does not say that it takes fragments', (who) => {
    const e = ends(
      who === 'a' ? { config: { fragmentSize: 0 }, b: { fragmentSize: SIZE } } : { b: { fragmentSize: 0 } },
    )
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
    expect(e.network.sent.filter(isFragment)).toEqual([])
  })

  test('each fragment of every message lost once, at every place', () => {
    const plain = ends()
    story(plain)
    const count = plain.network.sent.length
    expect(count).toBeGreaterThan(30)
    for (let lost = 0; lost < count; lost++) {
      const e = ends({ impairment: (d) => (d.index === lost ? [] : [5]) })
      story(e)
      expect(convergence(e), `datagram ${lost} lost`).toEqual([])
      expect(faults(e), `datagram ${lost} lost`).toBe(0)
      for (const end of [e.a, e.b]) expect(end.env.counted('ike.dead-peer')).toBe(0)
    }
  })

  test('each doubled, at once and late', () => {
    for (const late of [5, 40, 3_000]) {
      const e = ends({ impairment: () => [5, late] })
      story(e)
      expect(convergence(e)).toEqual([])
      expect(faults(e)).toBe(0)
    }
  })

  test('in any order', () => {
    for (let seed = 0; seed < 10; seed++) {
      const e = ends({
        impairment: unreliable(seed, { loss: 0.1, duplication: 0.3, delayMs: [1, 300] }),
      })
      story(e)
      expect(convergence(e), `seed ${seed}`).toEqual([])
      expect(faults(e), `seed ${seed}`).toBe(0)
    }
  })

  test('a repeated request is the same octets, and is answered when its first fragment comes, once', () => {
    const e = ends()
    let lost = 0
    // The response is lost once, all of it.
    e.network.impairment = (d) =>
      isAuth(d) && isResponse(d) && e.network.now < 1_500 && ++lost > 0 ? [] : [5]
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(3_000)
    expect(convergence(e)).toEqual([])
    const auth = e.network.sent.filter(isAuth)
    const [requests, responses] = [auth.filter((d) => !isResponse(d)), auth.filter(isResponse)]
    expect(lost).toBeGreaterThanOrEqual(2)
    expect(responses.length).toBe(2 * lost)
    expect(requests.length % 2).toBe(0)
    for (const list of [requests, responses])
      expect(list.slice(list.length / 2).map((d) => d.message)).toEqual(
        list.slice(0, list.length / 2).map((d) => d.message),
      )
    expect(e.b.env.counted('ike.repeated')).toBe(requests.length / 2)
  })

  test('a way that loses everything large: after two silences it goes in small fragments, and so do answers', () => {
    for (const direction of ['both', 'there', 'back'] as const) {
      const e = ends({
        config: {
          fragmentSize: 1_280,
          children: [
            childConfig({ localTs: Array.from({ length: 60 }, (_, i) => selector(`10.88.${i}.0/24`)) }),
          ],
        },
        impairment: (d) => {
          const concerns = direction === 'both' || (direction === 'there') === fromA(d)
          return concerns && d.message.length > 576 - IPV4_UDP ? [] : [5]
        },
      })
      e.a.ike.acquire(e.network.now, 1)
      e.network.runFor(8_000)
      expect(convergence(e), direction).toEqual([])
      expect(faults(e)).toBe(0)
    }
  })

  test('the same with a second key exchange, whose keys are not those of the next request', () => {
    const proposals = [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')]
    const config = { fragmentSize: 1_280, proposals }
    const large = (d: Datagram): boolean => d.message.length > 576 - IPV4_UDP
    for (const direction of ['there', 'back'] as const) {
      const e = ends({
        config,
        impairment: (d) => (large(d) && (direction === 'there') === fromA(d) ? [] : [5]),
      })
      e.a.ike.acquire(e.network.now, 1)
      e.network.runFor(8_000)
      expect(convergence(e), direction).toEqual([])
      expect(faults(e)).toBe(0)
    }
    // The request comes; three answers in a row are lost.
    let answers = 0
    const e = ends({
      config: { ...config, fragmentSize: 600 },
      impairment: (d) => {
        const { exchange, flags } = parseIkeHeader(d.message)
        const answer = exchange === EXCHANGE.IKE_INTERMEDIATE && (flags & 0x20) !== 0
        return answer && isFragment(d) && numberOf(d) === 1 && ++answers <= 3 ? [] : [5]
      },
    })
    e.a.ike.acquire(e.network.now, 1)
    e.network.runFor(16_000)
    expect(answers).toBe(4)
    expect(convergence(e)).toEqual([])
    expect(faults(e)).toBe(0)
  })

  test('forged ones cost their verification, and delay nothing', () => {
    const e = ends()
    let forged = 0
    e.network.impairment = (d) => {
      if (!isFragment(d)) return [5]
      const to = fromA(d) ? e.b : e.a
      for (const [at, xor] of [
        [d.message.length - 1, 1],
        [40, 0x80],
        // Of more, of fewer, and another one.
        [35, 0x10],
        [35, 0x03],
        [33, 0x01],
      ] as const) {
        const bad = new Uint8Array(d.message)
        bad[at]! ^= xor
        to.receive(e.network.now, d.to, d.from, bad)
        forged++
      }
      return [5]
    }
    const startedAt = e.network.now
    e.a.ike.acquire(startedAt, 1)
    e.network.runFor(900)
    expect(convergence(e)).toEqual([])
    expect(forged).toBe(20)
    for (const end of [e.a, e.b]) {
      expect(end.env.counted('ike.retransmitted')).toBe(0)
      expect(end.env.counted('ike.internal')).toBe(0)
    }
  })

  test('a fragment where none was agreed to is refused', () => {
    const e = ends({ b: { fragmentSize: 0 } })
    const other = ends()
    for (const x of [e, other]) {
      x.a.ike.acquire(x.network.now, 1)
      x.network.runFor(500)
    }
    const fragment = new Uint8Array(other.network.sent.find((d) => isFragment(d) && fromA(d))!.message)
    const init = e.network.sent.find((d) => isFirst(d) && isResponse(d))!
    fragment.set(init.message.subarray(0, 16))
    new DataView(fragment.buffer).setUint32(20, 2)
    e.b.receive(e.network.now, init.from, init.to, fragment)
    expect(e.b.env.counted('ike.malformed')).toBe(1)
    expect(convergence(e)).toEqual([])
  })

  test('numbers that make no sense', () => {
    const e = ends()
    e.a.ike.acquire(e.network.now, 1)
    // Up to the first fragment.
    e.network.runUntil(() => e.network.sent.some((d) => isFragment(d)), 1_000)
    const d = e.network.sent.find(isFragment)!
    expect(numberOf(d)).toBe(1)
    for (const [number, total] of [
      [0, 2],
      [3, 2],
      [1, 257],
      [65_535, 65_535],
    ] as const) {
      const bad = new Uint8Array(d.message)
      const view = new DataView(bad.buffer)
      view.setUint16(32, number)
      view.setUint16(34, total)
      e.b.receive(e.network.now, d.to, d.from, bad)
    }
    expect(e.b.env.counted('ike.malformed')).toBe(4)
    e.network.runFor(500)
    expect(convergence(e)).toEqual([])
  })
})
