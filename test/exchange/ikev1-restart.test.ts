import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { deletePayload, initialContact, notifyPayload } from '../../src/ike/v1/informational.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { spiOctets } from '../../src/wire/ike/v1/notify.js'
import { FLAG, NOTIFY, PROTOCOL } from '../../src/wire/ike/v1/numbers.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { established, ikeSaOf, sealedBy, toB, two } from './attacker-v1.js'
import { childConfig, convergence, IkeEnd, type IkeEnds, ikePeer, mirroredPeer } from './ike-ends.js'
import { A, B } from './prephase-ends.js'
import type { Datagram } from './virtual-network.js'

// What one end has, and the other one not: after a restart, and after the end of the IKE SA.

/** A's packets; B's data path reports those that it does not know. */
function traffic({ network, a, b }: IkeEnds, ms: number): void {
  for (const end = network.now + ms; network.now < end; network.runFor(1_000)) {
    const sa = a.env.newestOutbound(1)
    if (sa === undefined) a.ike.acquire(network.now, 1)
    else if (!b.env.inbound().some((s) => s.spi === sa.spi))
      b.ike.unknownSpi(network.now, B, A, 'esp', sa.spi)
  }
}

/** B is new, and has an IKE SA with A; A had SAs before. */
function restarted(start: 'trap' | 'start'): IkeEnds {
  const config = { dynamicPsk: 'off', fragmentSize: 0, children: [childConfig({ start })] } as const
  const { network, a } = two({ config })
  a.ike.initiate(network.now, 'b')
  network.runFor(3_000)
  const mirrored = mirroredPeer(ikePeer(config))
  const children = mirrored.children.map((c) => ({ ...c, start: 'trap' as const }))
  const b = new IkeEnd(network, [{ ...mirrored, children }], 'b again')
  a.ike.rekey(network.now, 'b')
  network.runFor(100)
  expect(a.established()).toHaveLength(1)
  expect(b.established()).toHaveLength(1)
  return { network, a, b }
}

test.each(['trap', 'start'] as const)('the new responder says INITIAL_CONTACT; start: %s', (start) => {
  const ends = restarted(start)
  expect(ends.a.current().map((c) => c.inboundSpi)).toEqual(ends.b.current().map((c) => c.outboundSpi))
  if (start === 'trap') traffic(ends, 3_000)
  else ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
})

test('a responder that has something with the peer does not say it', () => {
  const ends = established()
  const child = ends.a.current()[0]!.inboundSpi
  ends.a.ike.rekey(ends.network.now, 'b')
  ends.network.runFor(60_000)
  expect(ends.a.current()[0]!.inboundSpi).toBe(child)
  expect(convergence(ends)).toEqual([])
})

describe('an SA that only one end has', () => {
  /** B has lost its CHILD_SA, and A was not told. */
  function lopsided(): IkeEnds {
    const ends = established()
    const { network, b } = ends
    network.impairment = () => []
    const spi = b.current()[0]!.inboundSpi
    const sa = {
      direction: 'inbound',
      protocol: 'esp',
      spi,
      policy: 1,
      limit: 'hard',
      cause: 'sequence',
    } as const
    b.ike.expire(network.now, sa)
    network.runFor(10_000)
    network.impairment = () => [5]
    expect([ends.a.current().length, b.current().length]).toEqual([1, 0])
    return ends
  }

  test('packets on it are answered with a protected INVALID_SPI, and it is given up', () => {
    const ends = lopsided()
    traffic(ends, 3_000)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.env.counted('ike.invalid-spi')).toBe(1)
    expect(ends.a.peer.lastError).toBeUndefined()
  })

  test('a flood of packets on unknown SPIs is answered now and then', () => {
    const { network, b } = established()
    const before = network.sent.length
    for (let spi = 0x1000; spi < 0x1000 + 1_000; spi++) {
      b.ike.unknownSpi(network.now, B, A, 'esp', spi)
      network.runFor(100)
    }
    const most = IKE_LIMITS.unknownSpisBurst + 100 * IKE_LIMITS.unknownSpisPerSecond
    expect(network.sent.length - before).toBeLessThanOrEqual(most)
  })

  test.each(['as the SPI', 'as the data'])(
    'INVALID_SPI with the SPI %s; one of an unknown SPI changes nothing',
    (where) => {
      const ends = established()
      const { b } = ends
      const none = new Uint8Array(0)
      const invalid = (spi: number) => {
        const octets = spiOctets(spi)
        const [named, data] = where === 'as the SPI' ? [octets, none] : [none, octets]
        return sealedBy(ends.a, [notifyPayload(NOTIFY.INVALID_SPI, PROTOCOL.ESP, named, data)])
      }
      const spi = b.env.outbound()[0]!.spi
      toB(ends, invalid(spi ^ 1))
      expect(b.current()).toHaveLength(1)
      toB(ends, invalid(spi))
      expect([b.env.sas.size, b.peer.lastError]).toEqual([0, undefined])
    },
  )
})

test('INITIAL_CONTACT in an Informational of its own: what is older than its IKE SA goes', () => {
  const ends = established()
  const { network, a, b } = ends
  const says = (): void => {
    const cookies = ikeSaOf(ends)
    toB(ends, sealedBy(a, [initialContact(cookies.subarray(0, 8), cookies.subarray(8))]))
  }
  says()
  // It belongs to this very IKE SA.
  expect(b.current()).toHaveLength(1)
  a.ike.rekey(network.now, 'b')
  network.runFor(60_000)
  says()
  expect(b.current()).toHaveLength(0)
  expect(b.established()).toHaveLength(1)
})

describe('the last IKE SA ends, and the peer might keep its CHILD_SAs', () => {
  const isInformational = (d: Datagram): boolean => d.message[18] === EXCHANGE.INFORMATIONAL_V1

  test('by the peer, who deletes the IKE SA alone: it is told of every CHILD_SA', () => {
    const ends = established()
    const { a, b } = ends
    const own = ikeSaOf(ends)
    const answers = toB(ends, sealedBy(a, [deletePayload(PROTOCOL.ISAKMP, [own])]))
    expect(answers).toHaveLength(1)
    expect([b.env.sas.size, a.env.sas.size]).toEqual([0, 0])
    expect(a.established()).toHaveLength(1)
  })

  test('by its lifetime, which is over first at the responder: the CHILD_SAs are deleted before', () => {
    const { network, a, b } = established({ config: { ikeLifetimeSeconds: 60 } })
    network.impairment = (d) => (d.message[18] === EXCHANGE.MAIN_MODE ? [] : [5])
    const before = network.sent.length
    network.runFor(61_000)
    const told = network.sent
      .slice(before)
      .filter((d) => isInformational(d) && sameIp(d.from.address, B.address))
      .map((d) => hex(d.message))
    // One Delete each; a repetition has the same octets.
    expect(new Set(told).size).toBe(2)
    expect([a.env.sas.size, b.env.sas.size]).toEqual([0, 0])
  })

  test.each(['a', 'b'] as const)('%s is told to terminate: each Delete is said again', (who) => {
    for (const lost of [0, 1]) {
      const { network, a, b } = established()
      const [end, peer] = who === 'a' ? [a, 'b'] : [b, 'a']
      let informational = 0
      const own = (who === 'a' ? A : B).address
      const told = (d: Datagram): boolean =>
        isInformational(d) && sameIp(d.from.address, own) && (d.message[19]! & FLAG.ENCRYPTION) !== 0
      network.impairment = (d) => (told(d) && informational++ === lost ? [] : [5])
      end.ike.terminate(network.now, peer)
      network.runFor(1_500)
      for (const e of [a, b]) expect([e.env.sas.size, e.established().length]).toEqual([0, 0])
      network.runFor(10_000)
      // Two Deletes, three times each.
      expect(informational).toBe(6)
    }
  })
})
