import { describe, expect, test } from 'vitest'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { initialContact, notifyPayload } from '../../src/ike/v1/informational.js'
import { spiOctets } from '../../src/wire/ike/v1/notify.js'
import { NOTIFY, PROTOCOL } from '../../src/wire/ike/v1/numbers.js'
import { established, ikeSaOf, sealedBy, toB, two } from './attacker-v1.js'
import { childConfig, convergence, IkeEnd, type IkeEnds, ikePeer, mirroredPeer } from './ike-ends.js'
import { A, B } from './prephase-ends.js'

// One end starts again with nothing, and the other one renews its IKE SA before it notices (RFC 2407 section 4.6.3.3).

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
