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
  ikePeer,
  mirroredPeer,
  selector,
  twoIkes,
} from './ike-ends.js'
import { A, B, endpoint } from './prephase-ends.js'
import { type Datagram, unreliable } from './virtual-network.js'

const SETTINGS: DynamicPsk[] = ['off', 'classic', 'hardened']

describe('establishment', () => {
  test.each(SETTINGS)('on demand, dynamic_psk: %s', (dynamicPsk) => {
    const ends = twoIkes({ config: { dynamicPsk } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(200)
    expect(convergence(ends)).toEqual([])
    expect(a.env.counted('ike.malformed') + b.env.counted('ike.malformed')).toBe(0)
    expect(a.peer.phase).toBe('established')
    expect(a.peer.lastError).toBeUndefined()
    // Main Mode has six messages, Quick Mode three, the pre-phase four.
    expect(network.sent.length).toBe(dynamicPsk === 'off' ? 9 : 13)
  })

  test.each(['modp2048', 'ecp256', 'ecp384', 'x25519'])('group %s, with PFS', (group) => {
    const ends = twoIkes({
      config: {
        proposals: [parseIkeProposal(`aes256-sha384-${group}`)],
        children: [childConfig({ proposals: [parseChildProposal('esp', `aes256gcm16-${group}`)] })],
      },
    })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.peer.ikeSas[0]!.proposal).toBe(`aes256-sha384-${group}`)
    expect(ends.b.peer.children[0]!.proposal).toContain(group)
  })

  test.each([
    ['aes128-sha1-modp2048', 'esp', 'aes128-sha1'],
    ['aes192-sha256-x25519', 'esp', 'aes192-sha384'],
    ['aes256-sha512-x25519', 'esp', 'aes256-sha512'],
    ['aes256-sha1-x25519', 'esp', 'null-sha256'],
    ['aes128-sha256-x25519', 'esp', 'aes256gcm16-noesn'],
    ['aes128-sha256-x25519', 'ah', 'sha256'],
    ['aes128-sha256-x25519', 'ah', 'sha1-x25519'],
    ['aes128-sha256-x25519', 'ah', 'sha512-noesn'],
  ] as const)('%s with %s %s', (ike, protocol, child) => {
    for (const mode of ['tunnel', 'transport'] as const) {
      const ends = twoIkes({
        config: {
          dynamicPsk: 'off',
          proposals: [parseIkeProposal(ike)],
          children: [childConfig({ protocol, mode, proposals: [parseChildProposal(protocol, child)] })],
        },
      })
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      expect(convergence(ends)).toEqual([])
      const sa = ends.a.env.outbound()[0]!
      expect(sa).toMatchObject({ protocol, mode, esn: !child.endsWith('noesn') })
      expect(ends.a.env.inbound()[0]!.replayWindow).toBe(4096)
    }
  })

  test('the first of our proposals that the peer has', () => {
    const ends = twoIkes({
      config: {
        proposals: ['aes256-sha512-ecp384', 'aes128-sha256-x25519'].map(parseIkeProposal),
        children: [
          childConfig({
            proposals: ['aes256gcm16', 'aes128-sha256'].map((p) => parseChildProposal('esp', p)),
          }),
        ],
      },
      b: {
        proposals: ['aes128-sha256-x25519'].map(parseIkeProposal),
        children: [
          childConfig({
            localTs: [selector('10.88.2.0/24')],
            remoteTs: [selector('10.88.1.0/24')],
            proposals: [parseChildProposal('esp', 'aes128-sha256-noesn')],
          }),
        ],
      },
    })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.peer.children[0]!.proposal).toBe('aes128-sha256-noesn')
  })

  test('several children, IPv6 selectors, ranges, ports', () => {
    const range = {
      start: Uint8Array.of(10, 1, 0, 1),
      end: Uint8Array.of(10, 1, 0, 9),
      protocol: 6,
      startPort: 22,
      endPort: 22,
    }
    const children = [
      childConfig({ name: 'v4', policy: 1 }),
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
    const ends = twoIkes({ config: { children } })
    ends.a.ike.initiate(ends.network.now, 'b')
    ends.network.runFor(500)
    expect(convergence(ends, 4)).toEqual([])
    expect(ends.b.env.inbound().find((s) => s.policy === 3)!.remoteTs).toEqual([range])
  })

  test('over IPv6', () => {
    const [local, remote] = [endpoint('2001:db8::1').address, endpoint('2001:db8::2').address]
    const ends = twoIkes({ config: { local, remote }, options: { preferUdp: true } })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.env.outbound()[0]).toMatchObject({
      local,
      remote,
      udp: { localPort: 4500, remotePort: 4500 },
    })
  })

  test('start: start begins by itself at the first tick', () => {
    const ends = twoIkes({ config: { children: [childConfig({ start: 'start' })] } })
    ends.network.runFor(3_000)
    expect(convergence(ends)).toEqual([])
  })

  test('the IKE initiator cookie is the pre-phase’s', () => {
    const { network, a } = twoIkes()
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const cookie = (d: Datagram): string => hex(d.message.subarray(0, 8))
    const first = network.sent.find((d) => d.message[18] === EXCHANGE.MAIN_MODE)!
    const prephase = network.sent.find((d) => d.message[18] === EXCHANGE.PREPHASE)!
    expect(cookie(first)).toBe(cookie(prephase))
  })
})

describe.each(SETTINGS)('a disturbed link, dynamic_psk: %s', (dynamicPsk) => {
  test('both begin within 20 ms of each other', () => {
    for (let gap = 0; gap <= 100; gap += 5) {
      const ends = twoIkes({ config: { dynamicPsk }, seed: gap })
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(gap)
      ends.b.ike.acquire(ends.network.now, 1)
      ends.network.runFor(60_000)
      expect([gap, ...convergence(ends)]).toEqual([gap])
    }
  })
  test('loss, doubling and reordering at random', () => {
    for (let seed = 0; seed < 15; seed++) {
      const bad = unreliable(seed, { loss: 0.2, duplication: 0.2, delayMs: [1, 800] })
      const ends = twoIkes({
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
  function watched(ends: ReturnType<typeof twoIkes>, ms: number): string[] {
    const found = new Set<string>()
    for (let i = 0; i < ms; i += 1) {
      ends.network.runFor(1)
      for (const d of disagreement(ends)) found.add(d)
    }
    return [...found]
  }

  test('children are renewed before they expire, and the old ones go', () => {
    const ends = twoIkes({ config: { children: [childConfig({ lifetime: { hardSeconds: 60 } })] } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const before = a.current()[0]!.inboundSpi
    expect(watched(ends, 46_000)).toEqual([])
    network.runFor(10_000)
    expect(a.current()[0]!.inboundSpi).not.toBe(before)
    expect(convergence(ends)).toEqual([])
    network.runFor(10_000)
    for (const e of [a, b]) expect([e.env.inbound().length, e.env.outbound().length]).toEqual([1, 1])
    network.runFor(600_000)
    expect(convergence(ends)).toEqual([])
    expect(a.established().length).toBe(1)
  })

  test.each([0, 1, 2])('message %i of a renewing Quick Mode lost: still no gap', (lost) => {
    const ends = twoIkes({ config: { children: [childConfig({ lifetime: { hardSeconds: 60 } })] } })
    const { network, a } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const first = network.sent.length
    network.impairment = (d) => (d.index === first + lost ? [] : [5])
    expect(watched(ends, 60_000)).toEqual([])
    network.runFor(70_000)
    expect(convergence(ends)).toEqual([])
  })

  test.each(SETTINGS)('IKE SAs are renewed, children stay; dynamic_psk: %s', (dynamicPsk) => {
    const ends = twoIkes({ config: { dynamicPsk, ikeLifetimeSeconds: 120 } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const [ike, child] = [a.established()[0]!.initiatorSpi, a.current()[0]!.inboundSpi]
    network.runFor(119_000)
    expect(a.established()[0]!.initiatorSpi).not.toBe(ike)
    expect(a.current()[0]!.inboundSpi).toBe(child)
    expect(convergence(ends)).toEqual([])
    for (const e of [a, b]) expect(e.peer.ikeSas.length).toBe(1)
    network.runFor(1_200_000)
    expect(convergence(ends)).toEqual([])
    const prephases = network.sent.filter((d) => d.message[18] === EXCHANGE.PREPHASE).length
    const firsts = new Set(
      network.sent
        .filter((d) => d.message[18] === EXCHANGE.MAIN_MODE)
        .map((d) => hex(d.message.subarray(0, 8))),
    ).size
    expect(prephases).toBe(dynamicPsk === 'off' ? 0 : 4 * firsts)
  })

  test('octet limits from the data path renew a child, a hard one ends it', () => {
    const ends = twoIkes()
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const old = a.current()[0]!
    const key = { direction: 'outbound', protocol: 'esp', spi: old.outboundSpi, policy: 1 } as const
    a.ike.expire(network.now, { ...key, limit: 'soft', cause: 'octets' })
    network.runFor(500)
    expect(a.current()[0]!.outboundSpi).not.toBe(old.outboundSpi)
    expect(convergence(ends)).toEqual([])
    const hard = a.current()[0]!.inboundSpi
    a.ike.expire(network.now, { ...key, direction: 'inbound', spi: hard, limit: 'hard', cause: 'sequence' })
    network.runFor(100)
    for (const e of [a, b]) expect(e.env.newestOutbound(1)?.spi === hard).toBe(false)
    a.ike.acquire(network.now, 1)
    network.runFor(20_000)
    expect(convergence(ends)).toEqual([])
  })
})

describe('the end of SAs', () => {
  function up(over: Parameters<typeof twoIkes>[0] = {}) {
    const ends = twoIkes(over)
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    return ends
  }

  test('terminate deletes everything at both ends, and it comes back on demand', () => {
    const ends = up()
    const { network, a, b } = ends
    b.ike.terminate(network.now, 'a')
    network.runFor(100)
    for (const e of [a, b]) expect([e.env.sas.size, e.established().length]).toEqual([0, 0])
    b.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(convergence(ends)).toEqual([])
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
    const old = a.env.sas.size
    expect(old).toBe(2)
    // The new B knows nothing but its timestamps, and B's traffic makes it begin.
    const env = new (ends.b.env.constructor as typeof import('./ike-ends.js').IkeEnvironmentTwin)(
      network,
      'b again',
    )
    env.timestamps = ends.b.env.timestamps
    const b = new IkeEnd(network, [mirroredPeer(ikePeer({ dynamicPsk, dpdDelaySeconds: 10 }))], '', {}, env)
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
    const b = new IkeEnd(network, [mirroredPeer(ikePeer({ dpdDelaySeconds: 10 }))], 'b again')
    for (let i = 0; i < 40; i++) {
      network.runFor(1_000)
      if (a.env.newestOutbound(1) === undefined) a.ike.acquire(network.now, 1)
    }
    expect(convergence({ network, a, b })).toEqual([])
  })
})

describe('refusals are told by name', () => {
  test('different keys, dynamic_psk: off', () => {
    const ends = twoIkes({ config: { dynamicPsk: 'off' }, b: { key: new Uint8Array(32).fill(3) } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(60_000)
    expect(b.env.counted('ike.undecryptable') + b.env.counted('ike.bad-hash')).toBeGreaterThan(0)
    expect(b.peer.lastError?.message).toContain("the peer's pre-shared key differs from ours")
    expect(a.peer.lastError?.message).toContain('the pre-shared keys differ')
    for (const e of [a, b]) expect([e.env.sas.size, e.peer.ikeSas.length]).toEqual([0, 0])
  })

  test.each(['hardened', 'off'] as const)('the peer has another identity; dynamic_psk: %s', (dynamicPsk) => {
    const other = parseIdentity('dom0-x.example')!
    const { network, a, b } = twoIkes({ config: { dynamicPsk }, b: { remoteId: other } })
    a.ike.acquire(network.now, 1)
    network.runFor(60_000)
    expect(a.env.sas.size + b.env.sas.size).toBe(0)
    if (dynamicPsk === 'off') {
      expect(b.env.logged('its identity is dom0-a.example where we expect dom0-x.example')).toBe(true)
      expect(a.peer.lastError?.message).toContain('INVALID_ID_INFORMATION')
    } else expect(b.env.counted('prephase.unknown-id')).toBeGreaterThan(0)
  })

  test('the responder has another identity than expected', () => {
    const other = parseIdentity('dom0-x.example')!
    const { network, a, b } = twoIkes({ config: { dynamicPsk: 'off' }, b: { localId: other } })
    a.ike.acquire(network.now, 1)
    network.runFor(2_000)
    expect(a.peer.lastError?.message).toContain(
      'its identity is dom0-x.example where we expect dom0-b.example',
    )
    expect(a.peer.ikeSas.length + b.peer.ikeSas.length).toBe(0)
  })

  test('no common IKE proposal: both sides’ and the first difference', () => {
    const { network, a, b } = twoIkes({
      config: {
        dynamicPsk: 'off',
        proposals: ['aes128-sha256-x25519', 'aes128-sha1-modp2048'].map(parseIkeProposal),
      },
      b: { proposals: [parseIkeProposal('aes128-sha256-modp3072')] },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(40_000)
    expect(b.peer.lastError?.message).toBe('NO_PROPOSAL_CHOSEN: group: ours modp3072, theirs x25519')
    const line = b.env.lines.find((l) => l.message.includes('NO_PROPOSAL_CHOSEN'))!
    expect(line.fields!.theirs).toEqual([
      'encryption aes128, hash sha256, group x25519, authentication psk',
      'encryption aes128, hash sha1, group modp2048, authentication psk',
    ])
    expect(a.peer.lastError?.message).toContain('NO_PROPOSAL_CHOSEN')
    expect(b.env.counted('ike.no-proposal-chosen')).toBeGreaterThan(0)
  })

  test('no common child proposal', () => {
    const { network, a, b } = twoIkes({
      b: {
        children: [
          childConfig({
            localTs: [selector('10.88.2.0/24')],
            remoteTs: [selector('10.88.1.0/24')],
            proposals: [parseChildProposal('esp', 'aes256gcm16')],
          }),
        ],
      },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain('encryption: ours aes256gcm16, theirs aes128gcm16')
    expect(a.peer.lastError?.message).toContain('NO_PROPOSAL_CHOSEN')
    expect(a.peer.phase).toBe('established')
  })

  test('no common child proposal, and the refusal is lost: it is said again, and nothing is negotiated twice', () => {
    const other = childConfig({
      localTs: [selector('10.88.2.0/24')],
      remoteTs: [selector('10.88.1.0/24')],
      proposals: [parseChildProposal('esp', 'aes256gcm16')],
    })
    const { network, a, b } = twoIkes({ b: { children: [other] } })
    let lost = 0
    network.impairment = ({ from, message }) =>
      message[18] === EXCHANGE.INFORMATIONAL_V1 && sameIp(from.address, B.address) && lost++ < 2 ? [] : [5]
    a.ike.acquire(network.now, 1)
    network.runFor(5_000)
    expect(lost).toBe(3)
    expect(a.peer.lastError?.message).toContain('NO_PROPOSAL_CHOSEN')
    expect(b.env.counted('ike.no-proposal-chosen')).toBe(1)
    expect(b.env.counted('ike.retransmitted')).toBe(2)
    expect(b.env.counted('ike.message-id-reused')).toBe(0)
  })

  test('other traffic selectors', () => {
    const { network, a, b } = twoIkes({
      b: {
        children: [
          childConfig({ localTs: [selector('10.88.2.0/25')], remoteTs: [selector('10.88.1.0/24')] }),
        ],
      },
    })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(b.peer.lastError?.message).toContain('10.88.2.0/24 === 10.88.1.0/24')
    expect(b.env.logged('10.88.2.0/25 === 10.88.1.0/24')).toBe(true)
    expect(a.peer.lastError?.message).toContain('INVALID_ID_INFORMATION')
    // The data path asks every second: the peer is not asked as often.
    const sent = network.sent.length
    for (let i = 0; i < 30; i++) {
      a.ike.acquire(network.now, 1)
      network.runFor(1_000)
    }
    expect(network.sent.length - sent).toBeLessThan(10)
  })

  test('a cipher that IKEv1 has no number for', () => {
    const proposals = [parseChildProposal('esp', 'chacha20poly1305')]
    const { network, a } = twoIkes({ config: { children: [childConfig({ proposals })] } })
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(a.peer.lastError?.message).toContain('IKEv1 has no number for chacha20poly1305')
  })

  test('nobody there', () => {
    const { network, a } = twoIkes({ config: { dynamicPsk: 'off' }, impairment: () => [] })
    a.ike.acquire(network.now, 1)
    network.runFor(40_000)
    expect(network.sent.map((d) => d.sentAt - 1_000)).toEqual([0, 1_000, 3_000, 7_000, 15_000])
    expect(a.peer.lastError?.message).toContain('no answer to message 1')
    expect(a.peer.phase).toBe('idle')
  })

  test('a responder that requires the pre-phase does nothing for a message 1 without', () => {
    const { network, a, b } = twoIkes({ config: { dynamicPsk: 'off' }, b: { dynamicPsk: 'hardened' } })
    a.ike.acquire(network.now, 1)
    network.runFor(2_000)
    expect(b.env.counted('ike.no-prephase')).toBe(2)
    expect(network.sent.every((d) => sameIp(d.from.address, A.address))).toBe(true)
    expect(b.peer.ikeSas).toEqual([])
  })

  test('Aggressive Mode, IKEv2 and strangers', () => {
    const { network, b } = twoIkes({ config: { dynamicPsk: 'off' } })
    const message = new Uint8Array(28)
    message.set([1, 2, 3, 4, 5, 6, 7, 8])
    message[17] = 0x10
    message[18] = EXCHANGE.AGGRESSIVE
    message[27] = 28
    network.inject(A, B, message)
    message[17] = 0x20
    message[18] = EXCHANGE.IKE_SA_INIT
    network.inject(A, B, message)
    network.inject({ ...A, address: Uint8Array.of(203, 0, 113, 9) }, B, message)
    network.runFor(100)
    expect(b.env.counted('ike.aggressive-mode')).toBe(1)
    expect(b.env.counted('ike.version')).toBe(1)
    expect(b.env.counted('ike.unknown-peer')).toBe(1)
    expect(b.env.logged('Aggressive Mode')).toBe(true)
    expect(b.peer.lastError?.message).toContain('IKEv2')
    expect(network.sent.length).toBe(0)
  })

  test('half-open SAs of forged first messages are bounded and pass', () => {
    const { network, a, b } = twoIkes({ config: { dynamicPsk: 'off' } })
    a.ike.acquire(network.now, 1)
    const first = network.sent[0]!.message
    for (let i = 0; i < 200; i++) {
      const forged = new Uint8Array(first)
      forged.set([i, i >> 8, 9, 9, 9, 9, 9, 9])
      network.inject(A, B, forged)
    }
    network.runFor(4)
    expect(b.peer.ikeSas.length).toBeLessThanOrEqual(8)
    expect(b.env.counted('ike.first-rate-limit')).toBeGreaterThan(100)
    network.runFor(60_000)
    expect(convergence({ network, a, b })).toEqual([])
  })

  test.each(['hardened', 'classic', 'off'] as const)(
    'an IKE SA is renewed before its time when that is asked for, dynamic_psk: %s',
    (dynamicPsk) => {
      const ends = twoIkes({ config: { dynamicPsk } })
      const { network, a } = ends
      a.ike.acquire(network.now, 1)
      network.runFor(500)
      const [before] = a.peer.ikeSas
      expect(a.ike.rekey(network.now, 'b')).toBe(true)
      network.runFor(1_000)
      expect(a.env.counted('ike.established')).toBe(2)
      const after = a.peer.ikeSas.filter((sa) => !sa.replaced)
      expect(after).toHaveLength(1)
      expect(after[0]!.initiatorSpi).not.toBe(before!.initiatorSpi)
    },
  )
})
