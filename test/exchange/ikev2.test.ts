import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import type { DynamicPsk } from '../../src/ike/config.js'
import { parseIdentity } from '../../src/ike/identity.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { sameIp } from '../../src/wire/ip-address.js'
import {
  childConfig,
  convergence,
  disagreement,
  IkeEnd,
  type IkeEnds,
  ikePeer,
  mirroredPeer,
  selector,
  type TwoIkes,
  twoIkes,
} from './ike-ends.js'
import { A, B, endpoint } from './prephase-ends.js'
import { type Datagram, unreliable } from './virtual-network.js'

const SETTINGS: DynamicPsk[] = ['off', 'classic', 'hardened']

const two = (o: TwoIkes = {}): IkeEnds => twoIkes({ ...o, config: { version: 2, ...o.config } })

function up(o: TwoIkes = {}): IkeEnds {
  const ends = two(o)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

const proposals = (...texts: string[]) => texts.map(parseIkeProposal)
const esp = (...texts: string[]) => texts.map((t) => parseChildProposal('esp', t))
const bsChild = (over: Parameters<typeof childConfig>[0]) =>
  childConfig({ localTs: [selector('10.88.2.0/24')], remoteTs: [selector('10.88.1.0/24')], ...over })

describe('establishment', () => {
  test.each(SETTINGS)('on demand, dynamic_psk: %s', (dynamicPsk) => {
    const ends = two({ config: { dynamicPsk } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(200)
    expect(convergence(ends)).toEqual([])
    expect(a.env.counted('ike.malformed') + b.env.counted('ike.malformed')).toBe(0)
    expect(a.peer.phase).toBe('established')
    expect(a.peer.lastError).toBeUndefined()
    // IKE_SA_INIT and IKE_AUTH have two messages each, the pre-phase four.
    expect(network.sent.length).toBe(dynamicPsk === 'off' ? 4 : 8)
  })

  test.each([
    ['aes128-sha1-modp2048', 'esp', 'aes128-sha1'],
    ['aes256-sha512-ecp521', 'esp', 'aes256-sha512-x25519'],
    ['aes128gcm16-prfsha256-x25519', 'esp', 'aes256gcm16-noesn'],
    ['chacha20poly1305-prfsha512-x25519', 'esp', 'chacha20poly1305'],
    ['aes128ccm8-prfaesxcbc-x25519', 'esp', 'aes128ccm16'],
    ['aes128ctr-aesxcbc-x25519', 'esp', 'aes128ctr-aescmac'],
    ['aes128-aescmac-x25519', 'ah', 'aes128gmac'],
    ['aes128-sha256-x25519', 'ah', 'sha256'],
    ['aes128-sha256-x25519', 'ah', 'sha512-noesn'],
  ] as const)('%s with %s %s', (ike, protocol, child) => {
    for (const mode of ['tunnel', 'transport'] as const) {
      const ends = up({
        config: {
          dynamicPsk: 'off',
          proposals: proposals(ike),
          children: [childConfig({ protocol, mode, proposals: [parseChildProposal(protocol, child)] })],
        },
      })
      const sa = ends.a.env.outbound()[0]!
      expect(sa).toMatchObject({ protocol, mode, esn: !child.endsWith('noesn') })
      expect(ends.a.env.inbound()[0]!.replayWindow).toBe(4096)
      expect(ends.a.peer.ikeSas[0]!.proposal).toBe(ike)
    }
  })

  test('the first of the responder’s proposals that the initiator has; its group costs a round trip', () => {
    const ends = two({
      config: {
        dynamicPsk: 'off',
        proposals: proposals('aes256-sha512-ecp384', 'aes128-sha256-x25519'),
        children: [childConfig({ proposals: esp('aes256gcm16', 'aes128-sha256') })],
      },
      b: {
        proposals: proposals('aes128-sha256-x25519'),
        children: [bsChild({ proposals: esp('aes128-sha256-noesn') })],
      },
    })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.b.env.counted('ike.other-group-asked')).toBe(1)
    expect(ends.network.sent.length).toBe(6)
    expect(ends.a.peer.children[0]!.proposal).toBe('aes128-sha256-noesn')
  })

  test('the pre-phase’s key survives INVALID_KE_PAYLOAD, and its cookie is the initiator SPI', () => {
    const ends = up({
      config: { proposals: proposals('aes256-sha512-ecp384', 'aes128-sha256-x25519') },
      b: { proposals: proposals('aes128-sha256-x25519') },
    })
    const cookie = (d: Datagram): string => hex(d.message.subarray(0, 8))
    const first = ends.network.sent.find((d) => d.message[18] === EXCHANGE.IKE_SA_INIT)!
    const prephase = ends.network.sent.find((d) => d.message[18] === EXCHANGE.PREPHASE)!
    expect(cookie(first)).toBe(cookie(prephase))
  })

  test('several children, several selectors, ranges, ports, both families', () => {
    const range = {
      start: Uint8Array.of(10, 1, 0, 1),
      end: Uint8Array.of(10, 1, 0, 9),
      protocol: 6,
      startPort: 22,
      endPort: 25,
    }
    const children = [
      childConfig({
        name: 'v4',
        policy: 1,
        localTs: [selector('10.88.1.0/24'), selector('10.99.1.0/24')],
      }),
      childConfig({
        name: 'v6',
        policy: 2,
        localTs: [selector('2001:db8:1::/64')],
        remoteTs: [selector('2001:db8:2::7/128')],
      }),
      childConfig({ name: 'range', policy: 3, localTs: [range], remoteTs: [selector('10.2.0.0/16')] }),
      childConfig({
        name: 'ah',
        policy: 4,
        protocol: 'ah',
        mode: 'transport',
        localTs: [selector('192.0.2.1/32')],
        remoteTs: [selector('192.0.2.2/32')],
      }),
    ]
    const ends = two({ config: { children } })
    ends.a.ike.initiate(ends.network.now, 'b')
    ends.network.runFor(500)
    expect(convergence(ends, 4)).toEqual([])
    expect(ends.b.env.inbound().find((s) => s.policy === 3)!.remoteTs).toEqual([range])
    expect(ends.b.env.inbound().find((s) => s.policy === 1)!.remoteTs).toEqual(children[0]!.localTs)
  })

  test('the responder narrows what the initiator asks for', () => {
    const ends = up({
      config: {
        children: [childConfig({ localTs: [selector('10.88.0.0/16')], remoteTs: [selector('10.0.0.0/8')] })],
      },
      b: {
        children: [
          bsChild({
            localTs: [selector('10.88.2.0/24'), selector('10.90.0.0/16')],
            remoteTs: [selector('10.88.1.0/24')],
          }),
        ],
      },
    })
    const sa = ends.a.env.outbound()[0]!
    expect(sa.localTs).toEqual([selector('10.88.1.0/24')])
    expect(sa.remoteTs).toEqual([selector('10.88.2.0/24'), selector('10.90.0.0/16')])
    expect(ends.b.env.inbound()[0]!.localTs).toEqual(sa.remoteTs)
  })

  test('over IPv6, ESP in UDP because both prefer it, AH raw beside it', () => {
    const [local, remote] = [endpoint('2001:db8::1').address, endpoint('2001:db8::2').address]
    const children = [childConfig(), childConfig({ name: 'ah', policy: 2, protocol: 'ah' })]
    const ends = two({ config: { local, remote, children }, options: { preferUdp: true } })
    ends.a.ike.initiate(ends.network.now, 'b')
    ends.network.runFor(500)
    expect(convergence(ends, 2)).toEqual([])
    expect(ends.a.env.outbound().find((s) => s.policy === 1)).toMatchObject({
      local,
      remote,
      udp: { localPort: 4500, remotePort: 4500 },
    })
    expect(ends.a.env.outbound().find((s) => s.policy === 2)!.udp).toBeUndefined()
    expect(ends.a.peer.ikeSas[0]!.nat).toBe('claimed')
    expect(ends.a.env.keepalives).toEqual([])
  })

  test.each([
    ['udp', 'auto', true],
    ['auto', 'udp', true],
    ['auto', 'auto', false],
    ['raw', 'auto', false],
    ['raw', 'raw', false],
  ] as const)('encapsulation: %s here, %s there', (ours, theirs, udp) => {
    const ends = up({ config: { encapsulation: ours }, b: { encapsulation: theirs } })
    for (const e of [ends.a, ends.b]) expect(e.env.outbound()[0]!.udp !== undefined).toBe(udp)
  })

  test('start: start begins by itself at the first tick', () => {
    const ends = two({ config: { children: [childConfig({ start: 'start' })] } })
    ends.network.runFor(3_000)
    expect(convergence(ends)).toEqual([])
  })

  test('PFS: the first CHILD_SA has none, later ones have', () => {
    const ends = up({ config: { children: [childConfig({ proposals: esp('aes128gcm16-x25519') })] } })
    expect(ends.a.peer.children[0]!.proposal).toBe('aes128gcm16-esn')
    const { spi } = ends.a.env.outbound()[0]!
    renew(ends.a, ends, spi)
    ends.network.runFor(1_000)
    expect(ends.a.current()[0]!.proposal).toBe('aes128gcm16-x25519-esn')
    expect(convergence(ends)).toEqual([])
  })

  test('PFS with another group first there: INVALID_KE_PAYLOAD in CREATE_CHILD_SA', () => {
    const ends = up({
      config: { children: [childConfig({ proposals: esp('aes128gcm16-x25519', 'aes128gcm16-ecp256') })] },
      b: { children: [bsChild({ proposals: esp('aes128gcm16-ecp256') })] },
    })
    renew(ends.a, ends, ends.a.env.outbound()[0]!.spi)
    ends.network.runFor(1_000)
    expect(ends.a.current()[0]!.proposal).toBe('aes128gcm16-ecp256-esn')
    expect(ends.b.env.counted('ike.other-group-asked')).toBe(1)
    expect(convergence(ends)).toEqual([])
  })
})

/** The data path says that an SA has reached its soft limit. */
function renew(e: IkeEnd, { network }: IkeEnds, spi: number): void {
  e.ike.expire(network.now, {
    direction: 'outbound',
    protocol: 'esp',
    spi,
    policy: 1,
    limit: 'soft',
    cause: 'packets',
  })
}

describe.each(SETTINGS)('a disturbed link, dynamic_psk: %s', (dynamicPsk) => {
  test('both begin within 100 ms of each other', () => {
    for (let gap = 0; gap <= 100; gap += 5) {
      const ends = two({ config: { dynamicPsk }, seed: gap })
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(gap)
      ends.b.ike.acquire(ends.network.now, 1)
      ends.network.runFor(60_000)
      expect([gap, ...convergence(ends)]).toEqual([gap])
      expect(ends.network.sent.length).toBeLessThanOrEqual(24)
    }
  })
  test('loss, doubling and reordering at random', () => {
    for (let seed = 0; seed < 15; seed++) {
      const bad = unreliable(seed, { loss: 0.2, duplication: 0.2, delayMs: [1, 800] })
      const ends = two({
        config: { dynamicPsk },
        seed,
        impairment: (d) => (d.sentAt < 30_000 ? bad(d) : [5]),
      })
      const { network, a, b } = ends
      // Traffic keeps asking, as the data path does.
      for (let i = 0; i < 90; i++) {
        a.ike.acquire(network.now, 1)
        if (seed % 2 === 0) b.ike.acquire(network.now, 1)
        network.runFor(1_000)
      }
      expect([seed, ...convergence(ends)]).toEqual([seed])
    }
  })
})

describe('make before break', () => {
  /** Checks at every instant that whatever one end sends on, the other receives. */
  function watched(ends: IkeEnds, ms: number): string[] {
    const found = new Set<string>()
    for (let i = 0; i < ms; i += 1) {
      ends.network.runFor(1)
      for (const d of disagreement(ends)) found.add(d)
      for (const [name, e] of [
        ['a', ends.a],
        ['b', ends.b],
      ] as const)
        if (e.env.newestOutbound(1) === undefined) found.add(`${name} has no SA`)
    }
    return [...found]
  }

  test('children are renewed before they expire, and the old ones go', () => {
    const ends = up({ config: { children: [childConfig({ lifetime: { hardSeconds: 60 } })] } })
    const { network, a, b } = ends
    const before = a.current()[0]!.inboundSpi
    expect(watched(ends, 56_000)).toEqual([])
    expect(a.current()[0]!.inboundSpi).not.toBe(before)
    network.runFor(10_000)
    expect(convergence(ends)).toEqual([])
    for (const e of [a, b]) expect([e.env.inbound().length, e.env.outbound().length]).toEqual([1, 1])
    network.runFor(600_000)
    expect(convergence(ends)).toEqual([])
    expect(a.established().length).toBe(1)
  })

  test.each([0, 1, 2, 3])('message %i of a renewal lost: still no gap', (lost) => {
    const ends = up({ config: { children: [childConfig({ lifetime: { hardSeconds: 60 } })] } })
    const first = ends.network.sent.length
    ends.network.impairment = (d) => (d.index === first + lost ? [] : [5])
    expect(watched(ends, 60_000)).toEqual([])
    ends.network.runFor(70_000)
    expect(convergence(ends)).toEqual([])
  })

  test('nobody sends on a new SA before the other end is known to have it', () => {
    const ends = up()
    const { network, a, b } = ends
    const old = b.env.outbound()[0]!.spi
    const request = network.sent.length
    // The response to the renewal is lost for a while: B must not move.
    network.impairment = (d) => (d.index === request + 1 ? [] : [5])
    renew(a, ends, a.env.outbound()[0]!.spi)
    network.runFor(500)
    expect(b.env.inbound().length).toBe(2)
    expect(b.env.newestOutbound(1)!.spi).toBe(old)
    network.runFor(5_000)
    expect(b.env.newestOutbound(1)!.spi).not.toBe(old)
    expect(disagreement(ends)).toEqual([])
  })

  test('an end whose old SA runs out sends on the new one, although nothing has told it that the other end has it', () => {
    const ends = up()
    const { network, a, b } = ends
    const old = b.env.outbound()[0]!.spi
    const request = network.sent.length
    // A has the response, but B hears nothing of A any more.
    network.impairment = (d) => (d.index > request + 1 && d.to.address.at(-1) === B.address.at(-1) ? [] : [5])
    renew(a, ends, a.env.outbound()[0]!.spi)
    network.runFor(300)
    expect(b.env.newestOutbound(1)!.spi).toBe(old)
    const key = { direction: 'outbound', protocol: 'esp', spi: old, policy: 1 } as const
    b.ike.expire(network.now, { ...key, limit: 'hard', cause: 'packets' })
    expect(b.env.newestOutbound(1)!.spi).not.toBe(old)
    expect(a.env.inbound().map((sa) => sa.spi)).toContain(b.env.newestOutbound(1)!.spi)
    expect(disagreement(ends)).toEqual([])
    network.impairment = () => [5]
    network.runFor(20_000)
    expect(convergence(ends)).toEqual([])
  })

  test.each(SETTINGS)('IKE SAs are renewed without a new pre-phase, children stay; %s', (dynamicPsk) => {
    const ends = up({ config: { dynamicPsk, ikeLifetimeSeconds: 120 } })
    const { network, a, b } = ends
    const [ike, child] = [a.established()[0]!.initiatorSpi, a.current()[0]!.inboundSpi]
    network.runFor(119_000)
    expect(a.established()[0]!.initiatorSpi).not.toBe(ike)
    expect(a.current()[0]!.inboundSpi).toBe(child)
    expect(convergence(ends)).toEqual([])
    for (const e of [a, b]) expect(e.peer.ikeSas.length).toBe(1)
    network.runFor(1_200_000)
    expect(convergence(ends)).toEqual([])
    const prephases = network.sent.filter((d) => d.message[18] === EXCHANGE.PREPHASE).length
    expect(prephases).toBe(dynamicPsk === 'off' ? 0 : 4)
  })

  test('octet limits from the data path renew a child, a hard one ends it', () => {
    const ends = up()
    const { network, a, b } = ends
    const soft = a.env.outbound()[0]!.spi
    renew(a, ends, soft)
    network.runFor(7_000)
    for (const e of [a, b]) expect(e.env.newestOutbound(1)!.spi).not.toBe(soft)
    expect(convergence(ends)).toEqual([])
    const hard = a.env.inbound().at(-1)!.spi
    a.ike.expire(network.now, {
      direction: 'inbound',
      protocol: 'esp',
      spi: hard,
      policy: 1,
      limit: 'hard',
      cause: 'sequence',
    })
    network.runFor(100)
    expect(b.env.newestOutbound(1)).toBeUndefined()
    a.ike.acquire(network.now, 1)
    network.runFor(20_000)
    expect(convergence(ends)).toEqual([])
  })
})

describe('the end of SAs', () => {
  test('terminate deletes everything at both ends, and it comes back on demand', () => {
    const ends = up()
    const { network, a, b } = ends
    b.ike.terminate(network.now, 'a')
    network.runFor(100)
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
    b.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(convergence(ends)).toEqual([])
  })

  test.each([0, 1])('message %i of the Delete lost: it is repeated', (lost) => {
    const ends = up()
    const { network, a, b } = ends
    const first = network.sent.length
    network.impairment = (d) => (d.index === first + lost ? [] : [5])
    b.ike.terminate(network.now, 'a')
    expect(b.env.sas.size).toBe(0)
    network.runFor(60_000)
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  })

  test('what is wanted after an end is not left to a request of before it that nobody answers', () => {
    const { network, a, b } = up({ config: { dynamicPsk: 'off' } })
    network.impairment = () => []
    a.ike.expire(network.now, {
      ...{ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' },
      spi: a.current()[0]!.outboundSpi,
    } as const)
    network.runFor(100)
    a.ike.terminate(network.now, 'b')
    b.ike.terminate(network.now, 'a')
    network.impairment = () => [5]
    a.ike.initiate(network.now, 'b')
    network.runFor(500)
    expect(a.current()).toHaveLength(1)
    expect(b.current()).toHaveLength(1)
  })

  test('both terminate at once', () => {
    const { network, a, b } = up()
    a.ike.terminate(network.now, 'b')
    b.ike.terminate(network.now, 'a')
    network.runFor(60_000)
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  })

  test('shutdown tells the peer', () => {
    const { network, a, b } = up()
    a.ike.shutdown(network.now)
    network.runFor(100)
    expect([a.env.sas.size, b.env.sas.size, b.peer.ikeSas.length]).toEqual([0, 0, 0])
    expect(a.ike.nextDeadline()).toBeUndefined()
  })

  test('a dead peer is found, its SAs go, and it is asked again on demand', () => {
    const ends = up({ config: { dpdDelaySeconds: 10 } })
    const { network, a } = ends
    network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    network.impairment = () => []
    network.runFor(30_000)
    expect(a.env.sas.size).toBe(0)
    expect(a.peer.lastError?.message).toContain('does not answer')
    network.impairment = () => [5]
    a.ike.acquire(network.now, 1)
    network.runFor(20_000)
    expect(convergence(ends)).toEqual([])
  })

  test('inbound traffic is a sign of life', () => {
    const { network, a, b } = up({ config: { dpdDelaySeconds: 10 } })
    const sent = network.sent.length
    for (let i = 0; i < 10; i++) {
      for (const { env } of [a, b]) for (const s of env.inbound()) env.inboundAt.set(s.spi, network.now)
      network.runFor(5_000)
    }
    expect(network.sent.length).toBe(sent)
  })

  test.each(SETTINGS)('one end is killed and starts again; dynamic_psk: %s', (dynamicPsk) => {
    const ends = up({ config: { dynamicPsk, dpdDelaySeconds: 10 } })
    const { network, a } = ends
    // The new B knows nothing but its timestamps, and B's traffic makes it begin.
    const env = new (ends.b.env.constructor as typeof import('./ike-ends.js').IkeEnvironmentTwin)(
      network,
      'b again',
    )
    env.timestamps = ends.b.env.timestamps
    const config = mirroredPeer(ikePeer({ version: 2, dynamicPsk, dpdDelaySeconds: 10 }))
    const b = new IkeEnd(network, [config], '', {}, env)
    b.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(convergence({ network, a, b })).toEqual([])
    // INITIAL_CONTACT: A has nothing left of what was before.
    expect(a.env.sas.size).toBe(2)
    expect(a.peer.ikeSas.length).toBe(1)
  })

  test('one end is killed, only the other has traffic: dead peer detection', () => {
    const ends = up({ config: { dpdDelaySeconds: 10 } })
    const { network, a } = ends
    const config = mirroredPeer(ikePeer({ version: 2, dpdDelaySeconds: 10 }))
    const b = new IkeEnd(network, [config], 'b again')
    for (let i = 0; i < 40; i++) {
      network.runFor(1_000)
      if (a.env.newestOutbound(1) === undefined) a.ike.acquire(network.now, 1)
    }
    expect(convergence({ network, a, b })).toEqual([])
  })
})

describe('refusals are told by name', () => {
  test('different keys, dynamic_psk: off', () => {
    const { network, a, b } = two({
      config: { dynamicPsk: 'off' },
      b: { key: new Uint8Array(32).fill(3) },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain("the peer's pre-shared key differs from ours")
    expect(a.peer.lastError?.message).toContain(
      'the peer says AUTHENTICATION_FAILED: the pre-shared keys differ',
    )
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  })

  test('we have another identity than the peer expects', () => {
    const { network, a, b } = two({
      config: { dynamicPsk: 'off' },
      b: { remoteId: parseIdentity('dom0-x.example')! },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain(
      'has our key, but its identity is dom0-a.example where we expect dom0-x.example',
    )
    expect(a.peer.lastError?.message).toContain('AUTHENTICATION_FAILED')
    expect(a.env.sas.size + b.env.sas.size).toBe(0)
  })

  test('the responder is not the one that the initiator asks for', () => {
    const { network, a, b } = two({
      config: { dynamicPsk: 'off' },
      b: { localId: parseIdentity('dom0-x.example')! },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain('asks for dom0-b.example where we are dom0-x.example')
    expect(a.peer.ikeSas.length + b.peer.ikeSas.length).toBe(0)
  })

  test('no common IKE proposal: both sides’ and the first difference', () => {
    const { network, a, b } = two({
      config: {
        dynamicPsk: 'off',
        proposals: proposals('aes128-sha256-x25519', 'aes128-sha1-modp2048'),
      },
      b: { proposals: proposals('aes128-sha256-modp3072') },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(40_000)
    expect(b.peer.lastError?.message).toBe('NO_PROPOSAL_CHOSEN: group: ours modp3072, theirs x25519')
    const line = b.env.lines.find((l) => l.message.includes('NO_PROPOSAL_CHOSEN'))!
    expect(line.fields!.theirs).toEqual([
      'protocol ike, encryption aes128, integrity sha256, prf prfsha256, group x25519',
      'protocol ike, encryption aes128, integrity sha1, prf prfsha1, group modp2048',
    ])
    expect(a.peer.lastError?.message).toBe(
      'the peer seems to say NO_PROPOSAL_CHOSEN: group: ours x25519, theirs modp3072',
    )
  })

  test('no common child proposal: the IKE SA is up all the same', () => {
    const { network, a, b } = two({ b: { children: [bsChild({ proposals: esp('aes256gcm16') })] } })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain('encryption: ours aes256gcm16, theirs aes128gcm16')
    expect(a.peer.lastError?.message).toBe(
      'child migration: the peer says NO_PROPOSAL_CHOSEN: encryption: ours aes128gcm16, theirs aes256gcm16',
    )
    expect([a.peer.phase, b.peer.phase]).toEqual(['established', 'established'])
  })

  test('other traffic selectors', () => {
    const { network, a, b } = two({ b: { children: [bsChild({ localTs: [selector('10.77.2.0/25')] })] } })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain('10.88.2.0/24 === 10.88.1.0/24')
    expect(b.peer.lastError?.message).toContain('10.77.2.0/25 === 10.88.1.0/24')
    expect(a.peer.lastError?.message).toContain('TS_UNACCEPTABLE')
    // The data path asks every second: the peer is not asked as often.
    const sent = network.sent.length
    for (let i = 0; i < 30; i++) {
      a.ike.acquire(network.now, 1)
      network.runFor(1_000)
    }
    expect(network.sent.length - sent).toBeLessThan(10)
  })

  test('transport mode here, tunnel mode there: what the peer made of it is deleted', () => {
    const { network, a, b } = two({
      config: { children: [childConfig({ mode: 'transport' })] },
      b: { children: [bsChild({})] },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(a.peer.lastError?.message).toContain('refuses transport mode')
    expect(a.env.sas.size + b.env.sas.size).toBe(0)
  })

  test('nobody there', () => {
    const { network, a } = two({ config: { dynamicPsk: 'off' }, impairment: () => [] })
    a.ike.acquire(network.now, 1)
    network.runFor(40_000)
    expect(network.sent.map((d) => d.sentAt - 1_000)).toEqual([0, 1_000, 3_000, 7_000, 15_000])
    expect(a.peer.lastError?.message).toContain('no answer to IKE_SA_INIT')
    expect(a.peer.phase).toBe('idle')
  })

  test('a responder that requires the pre-phase does nothing for an IKE_SA_INIT without', () => {
    const { network, a, b } = two({ config: { dynamicPsk: 'off' }, b: { dynamicPsk: 'hardened' } })
    a.ike.acquire(network.now, 1)
    network.runFor(2_000)
    expect(b.env.counted('ike.no-prephase')).toBe(2)
    expect(network.sent.every((d) => sameIp(d.from.address, A.address))).toBe(true)
    expect(b.peer.ikeSas).toEqual([])
  })

  test('forged first messages: cookies, bounded memory, and the real peer comes through', () => {
    const { network, a, b } = two({ config: { dynamicPsk: 'off' } })
    a.ike.acquire(network.now, 1)
    const first = network.sent[0]!.message
    // The forger sees no answer: it cannot send a cookie back.
    for (let i = 0; i < 200; i++) {
      const forged = new Uint8Array(first)
      forged.set([i, i >> 8, 9, 9, 9, 9, 9, 9])
      network.inject({ ...A, port: 600 }, B, forged)
    }
    network.impairment = (d) => (d.to.port === 600 ? [] : [5])
    network.runFor(4)
    expect(b.peer.ikeSas.length).toBeLessThanOrEqual(4)
    expect(b.env.counted('ike.cookie-asked')).toBeGreaterThan(100)
    network.runFor(3_000)
    expect(convergence({ network, a, b })).toEqual([])
  })

  test.each(['IKE_INTERMEDIATE', 'a cookie'])('who has shown %s is not the one that goes', (shown) => {
    const isCookie = shown === 'a cookie'
    const text = isCookie ? 'aes128-sha256-x25519' : 'aes128-sha256-x25519-ke1_mlkem768'
    const { network, a, b } = two({
      config: { dynamicPsk: 'off', proposals: proposals(text) },
      options: {
        limits: { cookieAbove: isCookie ? 0 : 1_000, firstMessagesBurst: 1_000, retransmitMs: [30_000] },
      },
    })
    const isAuth = ({ message }: Datagram): boolean => message[18] === EXCHANGE.IKE_AUTH
    network.impairment = (d) => (isAuth(d) ? [2_000] : [5])
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(network.sent.some(isAuth)).toBe(true)
    // From now on nobody has to show anything.
    Object.assign(b.ike, {
      limits: { ...(b.ike as unknown as { limits: object }).limits, cookieAbove: 1_000 },
    })
    const first = network.sent[0]!.message
    for (let i = 0; i < 20; i++)
      network.inject({ ...A, port: 600 }, B, new Uint8Array([i, 9, 9, 9, 9, 9, 9, 9, ...first.subarray(8)]))
    network.runFor(100)
    expect(b.env.counted('ike.half-open-limit')).toBe(13)
    network.runFor(5_000)
    expect(convergence({ network, a, b })).toEqual([])
  })
})
