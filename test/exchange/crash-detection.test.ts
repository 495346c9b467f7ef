import { describe, expect, test } from 'vitest'
import { fromHex } from '../../src/bytes/octets.js'
import type { DynamicPsk, IkePeerConfig } from '../../src/ike/config.js'
import { hintedSpi, isSpiHint, spiHint } from '../../src/ike/spi-hint.js'
import { crashToken, unknownSpi } from '../../src/ike/v2/crash-token.js'
import { PayloadSet, RULES } from '../../src/ike/v2/payload-set.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { parseChain } from '../../src/wire/ike/v2/chain.js'
import { NOTIFY, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import {
  childConfig,
  convergence,
  IkeEnd,
  type IkeEnds,
  IkeEnvironmentTwin,
  ikePeer,
  mirroredPeer,
  twoIkes,
} from './ike-ends.js'
import { A, B, endpoint } from './prephase-ends.js'
import type { Datagram } from './virtual-network.js'

interface World extends IkeEnds {
  readonly config: IkePeerConfig
}

function world(over: Partial<IkePeerConfig> = {}): World {
  const config = ikePeer({
    version: 2,
    dynamicPsk: 'off',
    children: [childConfig({ start: 'start' })],
    ...over,
  })
  const ends = twoIkes({
    config,
    b: { children: mirroredPeer(config).children.map((c) => ({ ...c, start: 'trap' })) },
  })
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  // Long enough ago to be in doubt about the peer.
  ends.network.runFor(2_000)
  return { ...ends, config }
}

/** B's daemon is killed and comes again, with what is on its disk; nothing starts by itself. */
function restartB(w: World, o: { secret?: Uint8Array | undefined } = {}): World {
  const env = new IkeEnvironmentTwin(w.network, `b again ${w.network.now}`)
  env.timestamps = w.b.env.timestamps
  env.crashSecret = o.secret ?? w.b.env.crashSecret
  const mirrored = mirroredPeer(w.config)
  const config = { ...mirrored, children: mirrored.children.map((c) => ({ ...c, start: 'trap' as const })) }
  return { ...w, b: new IkeEnd(w.network, [config], '', {}, env) }
}

/** A's traffic still comes on B's old SA. */
const traffic = (w: World): void => {
  const [current] = w.a.current()
  if (current !== undefined) w.b.ike.unknownSpi(w.network.now, B, A, 'esp', current.outboundSpi)
}

const isAnswer = (d: Datagram): boolean => {
  const h = parseIkeHeader(d.message)
  return h.version === 0x20 && h.nextPayload === PAYLOAD.NOTIFY && h.exchange !== EXCHANGE.IKE_SA_INIT
}
const notifiesOf = (message: Uint8Array): PayloadSet =>
  new PayloadSet(parseChain(parseIkeHeader(message), message).payloads, RULES.notifies)

/** How long until both ends are together again; A's traffic goes on. */
function recovery(w: World, limitMs: number): number {
  const from = w.network.now
  while (w.network.now - from < limitMs) {
    traffic(w)
    if (w.network.runUntil(() => convergence(w).length === 0, 20)) return w.network.now - from
  }
  return Number.POSITIVE_INFINITY
}

describe('a peer that has started anew and waits for packets', () => {
  test.each<DynamicPsk>(['off', 'classic', 'hardened'])(
    'its first hint is followed by proof, and by a new IKE SA; dynamic_psk: %s',
    (dynamicPsk) => {
      const w = restartB(world({ dynamicPsk }))
      // Hint, question, proof; pre-phase; two exchanges. 5 ms each way.
      expect(recovery(w, 1_000)).toBeLessThanOrEqual(dynamicPsk === 'off' ? 40 : 60)
      expect(w.a.env.counted('ike.crash-detected')).toBe(1)
      expect(w.b.env.counted('ike.spi-hint-sent')).toBe(1)
      expect(w.a.env.sas.size).toBe(2)
      expect(w.a.peer.ikeSas).toHaveLength(1)
    },
  )

  test('the question of dead peer detection gets the proof as well', () => {
    const w = restartB(world({ dpdDelaySeconds: 10 }))
    w.network.runFor(10_100)
    expect(convergence(w)).toEqual([])
    expect(w.a.env.counted('ike.crash-detected')).toBe(1)
  })

  test('a question that went to nobody is asked again at the first hint', () => {
    const down = world({ dpdDelaySeconds: 10 })
    down.network.detach(B.address)
    // The question, and its first two repetitions; the next one would be seconds away.
    down.network.runFor(5_000 + 3_500)
    const w = restartB(down)
    expect(recovery(w, 3_000)).toBeLessThanOrEqual(40)
    expect(w.a.env.counted('ike.crash-detected')).toBe(1)
  })

  test.each([
    ['IKEv2, whose secret is lost', 2],
    ['IKEv1', 1],
  ] as const)('%s: asked in vain for a second, then contacted anew', (_, version) => {
    const w = restartB(world({ version }), { secret: new Uint8Array(32) })
    const took = recovery(w, 5_000)
    expect(took).toBeGreaterThanOrEqual(1_000)
    expect(took).toBeLessThanOrEqual(1_100)
    expect(w.a.env.counted('ike.crash-detected')).toBe(0)
    expect(w.a.env.sas.size).toBe(2)
    expect(w.a.peer.ikeSas).toHaveLength(1)
  })

  test.each(['a', 'b'] as const)('the token of a renewed IKE SA, which %s asked for', (who) => {
    for (const crashes of ['a', 'b'] as const) {
      const first = world()
      const { network } = first
      if (who === 'a') first.a.ike.rekey(network.now, 'b')
      else first.b.ike.rekey(network.now, 'a')
      network.runFor(60_000)
      expect(first.a.env.counted('ike.rekeyed')).toBe(1)
      const [stays, gone] = crashes === 'b' ? [first.a, first.b] : [first.b, first.a]
      const sa = stays.peer.ikeSas[0]!
      const spis = { initiatorSpi: fromHex(sa.initiatorSpi), responderSpi: fromHex(sa.responderSpi!) }
      const [from, to] = crashes === 'b' ? [B, A] : [A, B]
      const flags = sa.role === 'initiator' ? 0x08 : 0
      const answer = (secret: Uint8Array) =>
        unknownSpi(
          {
            ...spis,
            version: 0x20,
            nextPayload: 0,
            length: 0,
            exchange: EXCHANGE.INFORMATIONAL,
            flags,
            messageId: 9,
          },
          secret,
        )
      network.inject(from, to, answer(stays.env.crashSecret))
      network.runFor(10)
      expect(stays.env.counted('ike.crash-detected')).toBe(0)
      network.inject(from, to, answer(gone.env.crashSecret))
      network.runFor(10)
      expect(stays.env.counted('ike.crash-detected')).toBe(1)
    }
  })
})

describe('without proof', () => {
  test('hints, and answers with other tokens, cost a question now and then', () => {
    for (const version of [1, 2] as const) {
      const w = world({ version })
      const { network, a } = w
      const spi = a.current()[0]!.outboundSpi
      const before = network.sent.length
      for (let i = 0; i < 1_000; i++) {
        network.inject(B, A, spiHint(version, new Uint8Array(8).fill(i), 'esp', spi))
        network.runFor(10)
      }
      // Ten seconds: a question and its answer for each.
      expect(network.sent.length - before).toBeLessThanOrEqual(2 * 12)
      expect(a.env.counted('ike.doubted')).toBeGreaterThan(3)
      expect(convergence(w)).toEqual([])
      expect(a.peer.ikeSas).toHaveLength(1)
    }
  })

  test('a peer of whom we have just heard is not asked', () => {
    const w = world()
    const { network, a } = w
    const { outboundSpi, inboundSpi } = a.current()[0]!
    for (let i = 0; i < 10; i++) {
      a.env.inboundAt.set(inboundSpi, network.now)
      network.inject(B, A, spiHint(2, new Uint8Array(8), 'esp', outboundSpi))
      network.runFor(500)
    }
    expect(a.env.counted('ike.doubted')).toBe(0)
    expect(a.env.counted('ike.hint-ignored')).toBe(10)
  })

  test('nor for SPIs that are not ours, nor by strangers', () => {
    const w = world()
    const { network, a } = w
    const { outboundSpi, inboundSpi } = a.current()[0]!
    network.inject(B, A, spiHint(2, new Uint8Array(8), 'esp', inboundSpi))
    network.inject(endpoint('203.0.113.9'), A, spiHint(2, new Uint8Array(8), 'esp', outboundSpi))
    const before = network.sent.length
    network.runFor(1_000)
    expect(network.sent.length).toBe(before)
    expect(a.env.counted('ike.doubted')).toBe(0)
  })

  test('a token never comes out while its IKE SA lives', () => {
    const config = ikePeer({ version: 2, dynamicPsk: 'off', children: [childConfig({ start: 'start' })] })
    const other = endpoint('192.0.2.77')
    const ends = twoIkes({ config })
    const bs = mirroredPeer(config)
    const env = new IkeEnvironmentTwin(ends.network, 'b with two peers')
    const b = new IkeEnd(
      ends.network,
      [bs, { ...bs, name: 'c', remote: other.address, children: [childConfig({ name: 'c', policy: 9 })] }],
      '',
      {},
      env,
    )
    ends.network.runFor(3_000)
    const sent = ends.network.sent.find(
      (d) => parseIkeHeader(d.message).exchange === EXCHANGE.IKE_AUTH && d.from.address[3] === A.address[3],
    )!
    for (const from of [other, A])
      for (const messageId of [0, 1, 2, 77]) {
        const forged = new Uint8Array(sent.message)
        new DataView(forged.buffer).setUint32(20, messageId)
        ends.network.inject(from, B, forged)
        // Another responder's SPI as well: the answer would not say whose token it is.
        forged[15]! ^= 1
        ends.network.inject(from, B, forged)
        ends.network.runFor(3_000)
      }
    expect(ends.network.sent.filter(isAnswer)).toEqual([])
    expect(b.env.counted('ike.unknown-spi-answered')).toBe(0)
    expect(b.established()).toHaveLength(1)
  })

  test('who asks under SPIs that nobody knows is answered now and then, as RFC 7296 section 1.5 says', () => {
    const w = restartB(world())
    const { network } = w
    const request = network.sent.find((d) => parseIkeHeader(d.message).exchange === EXCHANGE.IKE_AUTH)!
    const before = network.sent.length
    for (let i = 0; i < 1_000; i++) {
      w.b.receive(network.now, B, A, request.message)
      network.runFor(1)
    }
    const answers = network.sent.slice(before).filter(isAnswer)
    expect(answers.length).toBeLessThanOrEqual(5)
    const [asked, said] = [request.message, answers[0]!.message].map(parseIkeHeader) as [
      ReturnType<typeof parseIkeHeader>,
      ReturnType<typeof parseIkeHeader>,
    ]
    expect(said).toMatchObject({
      ...{ initiatorSpi: asked.initiatorSpi, responderSpi: asked.responderSpi },
      ...{ exchange: asked.exchange, messageId: asked.messageId, flags: 0x20 },
    })
    const set = notifiesOf(answers[0]!.message)
    expect(set.notifies.map((n) => n.type)).toEqual([NOTIFY.INVALID_IKE_SPI, NOTIFY.QCD_TOKEN])
    expect(set.notifies[1]!.data).toEqual(
      crashToken(w.b.env.crashSecret, asked.initiatorSpi, asked.responderSpi),
    )
    // What is an answer itself is not answered, nor is what is not protected.
    for (const d of answers) w.b.receive(network.now, B, A, d.message)
    network.runFor(3_000)
    const quiet = network.sent.length
    w.b.receive(network.now, B, A, answers[0]!.message)
    expect(network.sent.length).toBe(quiet)
  })

  test('packets on unknown SPIs: a few words to a peer with which there is no IKE SA, and to nobody else', () => {
    const w = world()
    const { network, b } = w
    const before = network.sent.length
    b.ike.unknownSpi(network.now, B, A, 'esp', 0x1234_5678)
    expect(network.sent.length).toBe(before)
    const again = restartB(w)
    for (let i = 0; i < 1_000; i++) again.b.ike.unknownSpi(network.now, B, A, 'esp', i + 256)
    again.b.ike.unknownSpi(network.now, B, endpoint('203.0.113.9'), 'esp', 256)
    expect(network.sent.length - before).toBe(4)
    expect(again.b.env.counted('ike.spi-hint-sent')).toBe(4)
  })
})

test('hints of both versions name the SPI', () => {
  for (const version of [1, 2] as const)
    for (const protocol of ['esp', 'ah'] as const) {
      const message = spiHint(version, new Uint8Array(8).fill(5), protocol, 0xfedc_ba98)
      const header = parseIkeHeader(message)
      expect(isSpiHint(header)).toBe(true)
      expect(hintedSpi(header, message)).toBe(0xfedc_ba98)
    }
})
