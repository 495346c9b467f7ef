import { describe, expect, test } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import type { IkePeerConfig } from '../../src/ike/config.js'
import type { Endpoint } from '../../src/ike/environment.js'
import type { IkeOptions } from '../../src/ike/ike.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { formatIp } from '../../src/wire/ip-address.js'
import {
  childConfig,
  convergence,
  IkeEnd,
  IkeEnvironmentTwin,
  ikePeer,
  mirroredPeer,
  selector,
  twoIkes,
} from './ike-ends.js'
import { B, endpoint } from './prephase-ends.js'
import { type Datagram, VirtualNetwork, type VirtualNode } from './virtual-network.js'

const INSIDE = endpoint('10.0.0.5')
const PUBLIC = endpoint('198.51.100.7')

/** A NAT with one host behind it: every inside port has its own outside port, until the mapping is changed. */
class Nat implements VirtualNode {
  readonly network: VirtualNetwork
  inside: VirtualNode | undefined
  base = 10_000
  constructor(network: VirtualNetwork) {
    this.network = network
    network.attach(PUBLIC.address, this)
  }
  address = PUBLIC.address
  /** The provider has given it another address. */
  moveTo({ address }: Endpoint): void {
    this.network.detach(this.address)
    this.address = address
    this.network.attach(address, this)
  }
  out(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.network.send({ address: this.address, port: this.base + local.port }, remote, message)
  }
  receive(now: number, local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    const port = local.port - this.base
    if (port === 500 || port === 4500)
      this.inside?.receive(now, { address: INSIDE.address, port }, remote, message)
  }
  tick(): void {}
  nextDeadline(): undefined {
    return undefined
  }
}

class BehindNat extends IkeEnvironmentTwin {
  readonly nat: Nat
  constructor(network: VirtualNetwork, nat: Nat) {
    super(network, 'a behind a NAT')
    this.nat = nat
  }
  override send(local: Endpoint, remote: Endpoint, message: Uint8Array): void {
    this.nat.out(local, remote, message)
  }
}

/** A is behind a NAT, B knows it by the NAT's address. */
function behindNatOf(version: 1 | 2, over: Partial<IkePeerConfig> = {}, b: Partial<IkePeerConfig> = {}) {
  const network = new VirtualNetwork()
  const nat = new Nat(network)
  const config = ikePeer({ version, local: INSIDE.address, ...over })
  const one = new IkeEnd(network, [config], 'a', {}, new BehindNat(network, nat))
  nat.inside = one
  const other = new IkeEnd(network, [{ ...mirroredPeer(config), remote: PUBLIC.address, ...b }], 'b')
  return { network, nat, a: one, b: other }
}

describe('our own port is not for the peer to change, IKEv2', () => {
  const at = (port: number, { message, from, to }: Datagram, network: VirtualNetwork): [] => {
    network.inject(from, { ...to, port }, message, 5)
    return []
  }

  test('a message that comes to port 500 moves nothing', () => {
    const { network, a, b } = behindNatOf(2, { dpdDelaySeconds: 10 }, { dpdDelaySeconds: 0 })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    let moved = 0
    network.impairment = (d) =>
      d.message[18] === EXCHANGE.INFORMATIONAL && d.to.port === 4500 && moved++ === 0
        ? at(500, d, network)
        : [5]
    network.runFor(11_000)
    expect(moved).toBeGreaterThan(0)
    expect(b.peer.ikeSas[0]).toMatchObject({ local: '192.0.2.2:4500', remote: '198.51.100.7:14500' })
    b.ike.expire(network.now, {
      ...({ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' } as const),
      spi: b.env.newestOutbound(1)!.spi,
    })
    network.runFor(400)
    expect(b.env.outbound().map((s) => s.udp?.localPort)).toEqual(b.env.outbound().map(() => 4500))
    expect(b.env.counted('ike.child-established')).toBe(2)
  })

  test('IKE_AUTH that comes to port 500 costs a counter, and comes again', () => {
    const ends = behindNatOf(2)
    const { network, a, b } = ends
    let moved = 0
    network.impairment = (d) =>
      d.message[18] === EXCHANGE.IKE_AUTH && d.to.port === 4500 && moved++ === 0 ? at(500, d, network) : [5]
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    expect(b.env.counted('ike.not-port-4500')).toBe(1)
    expect(convergence(ends)).toEqual([])
    expect(b.env.outbound()[0]!.udp).toEqual({ localPort: 4500, remotePort: 14_500 })
  })
})

describe.each([1, 2] as const)('behind a NAT, IKEv%i', (version) => {
  const behindNat = (over?: Partial<IkePeerConfig>, b?: Partial<IkePeerConfig>) =>
    behindNatOf(version, over, b)

  test('both ends go to port 4500 and encapsulate in UDP', () => {
    const ends = behindNat()
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.env.outbound()[0]!.udp).toEqual({ localPort: 4500, remotePort: 4500 })
    expect(ends.b.env.outbound()[0]!.udp).toEqual({ localPort: 4500, remotePort: 14_500 })
    expect(formatIp(ends.b.env.outbound()[0]!.remote)).toBe('198.51.100.7')
    expect(ends.a.peer.ikeSas[0]!.nat).toBe('we are behind one')
    expect(ends.b.peer.ikeSas[0]!.nat).toContain('the peer is behind one')
  })

  test('the end outside renews the IKE SA, which it cannot reach on port 500', () => {
    const { network, a, b } = behindNat({ dynamicPsk: 'off' })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const [before] = b.peer.ikeSas
    b.ike.rekey(network.now, 'a')
    network.runFor(2_000)
    const after = b.peer.ikeSas.filter((sa) => !sa.replaced)
    expect(after).toMatchObject([{ state: 'ESTABLISHED' }])
    expect(after[0]!.initiatorSpi).not.toBe(before!.initiatorSpi)
    expect(a.peer.ikeSas.map((sa) => sa.initiatorSpi)).toContain(after[0]!.initiatorSpi)
  })

  test('keepalives every 20 s, from the end behind the NAT alone', () => {
    const { network, a, b } = behindNat()
    a.ike.acquire(network.now, 1)
    network.runFor(61_000)
    expect(a.env.keepalives.length).toBe(3)
    expect(a.env.keepalives[0]).toMatchObject({ local: { port: 4500 }, remote: { port: 4500 } })
    expect(b.env.keepalives).toEqual([])
  })

  test('transport mode: the hosts are meant, whatever address each knows', () => {
    const child = childConfig({
      mode: 'transport',
      localTs: [selector('10.0.0.5/32')],
      remoteTs: [selector(`${formatIp(B.address)}/32`)],
    })
    const ends = behindNat(
      { children: [child] },
      { children: [{ ...child, localTs: child.remoteTs, remoteTs: [selector('198.51.100.7/32')] }] },
    )
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.b.env.inbound()[0]!.mode).toBe('transport')
  })

  test('AH is refused by name', () => {
    const { network, a, b } = behindNat({ children: [childConfig({ protocol: 'ah' })] })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    expect(a.peer.lastError?.message).toContain('AH cannot pass a NAT')
    expect(b.env.sas.size).toBe(0)
  })

  const outbound = (e: IkeEnd) => e.env.newestOutbound(1)!

  test('the NAT forgets: the next message is followed, the SAs stay', () => {
    const ends = behindNat({ dpdDelaySeconds: 10 })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    const { spi } = outbound(ends.b)
    ends.nat.base = 20_000
    ends.network.runFor(30_000)
    expect(convergence(ends)).toEqual([])
    expect(outbound(ends.b)).toMatchObject({ spi, udp: { localPort: 4500, remotePort: 24_500 } })
    // Renewed SAs go there as well.
    ends.b.ike.expire(ends.network.now, {
      ...{ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked', spi },
    } as const)
    ends.network.runFor(5_000)
    expect(convergence(ends)).toEqual([])
    expect(outbound(ends.b).spi).not.toBe(spi)
    expect(outbound(ends.b).udp).toEqual({ localPort: 4500, remotePort: 24_500 })
  })

  test('so is the newest packet, at once', () => {
    const ends = behindNat()
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    const inbound = ends.b.env.inbound()[0]!
    const sent = ends.network.sent.length
    ends.b.ike.packetFrom(ends.network.now, inbound, { address: PUBLIC.address, port: 33_333 })
    expect(outbound(ends.b).udp).toEqual({ localPort: 4500, remotePort: 33_333 })
    expect(ends.b.peer.ikeSas[0]!.remote).toBe('198.51.100.7:33333')
    expect(ends.network.sent.length).toBe(sent)
    // Not one of an SA that is not there.
    ends.b.ike.packetFrom(ends.network.now, { ...inbound, spi: 1 }, { address: PUBLIC.address, port: 7 })
    expect(outbound(ends.b).udp!.remotePort).toBe(33_333)
  })

  test('who claims a NAT and is behind one is followed as well', () => {
    const ends = behindNat({ encapsulation: 'udp', dpdDelaySeconds: 10 })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    ends.nat.base = 20_000
    ends.network.runFor(30_000)
    expect(convergence(ends)).toEqual([])
    expect(outbound(ends.b).udp!.remotePort).toBe(24_500)
  })

  test('the NAT has another address: IKE SA and CHILD_SA go on, and are renewed', () => {
    const ends = behindNat({ dpdDelaySeconds: 10 })
    const { network, nat, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    nat.moveTo(endpoint('198.51.100.99'))
    network.runFor(30_000)
    expect(convergence(ends)).toEqual([])
    expect(formatIp(outbound(b).remote)).toBe('198.51.100.99')
    const { spi } = outbound(a)
    a.ike.expire(network.now, {
      ...{ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked', spi },
    } as const)
    network.runFor(5_000)
    expect(convergence(ends)).toEqual([])
    expect(outbound(a).spi).not.toBe(spi)
    expect(formatIp(outbound(b).remote)).toBe('198.51.100.99')
    expect(a.env.counted('ike.dead-peer') + b.env.counted('ike.dead-peer')).toBe(0)
  })

  test.each([200, 1_000])('nor do %i strangers a second cost it anything', (rate) => {
    const ends = behindNat({ dpdDelaySeconds: 10 })
    const { network, nat, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    nat.moveTo(endpoint('198.51.100.99'))
    network.runFor(15_000)
    const junk = network.sent.findLast((d) => d.to.port === 4500)!.message
    junk[0]! ^= 1
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < rate; i++) network.inject(endpoint('203.0.113.9'), B, junk, (1_000 * i) / rate)
      network.runFor(1_000)
    }
    expect(convergence(ends)).toEqual([])
    expect(b.env.counted('ike.rate-limit')).toBeGreaterThan(1_000)
    expect(a.env.counted('ike.dead-peer') + b.env.counted('ike.dead-peer')).toBe(0)
  })

  test('who knows its SPIs has no more than the rate that it has anywhere', () => {
    const { network, nat, a, b } = behindNat({ dpdDelaySeconds: 10 })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    nat.moveTo(endpoint('198.51.100.99'))
    network.runFor(15_000)
    const forged = new Uint8Array(network.sent.findLast((d) => d.from.port !== 4500)!.message)
    forged[forged.length - 1]! ^= 1
    for (let i = 0; i < 3_000; i++) b.receive(network.now, B, endpoint('203.0.113.9'), forged)
    expect(b.env.counted('ike.rate-limit')).toBe(2_000)
  })

  test('nobody is followed without proof, and nobody who is behind no NAT', () => {
    const { network, a, b } = behindNat({ dpdDelaySeconds: 0 })
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const elsewhere = endpoint('203.0.113.9', 4500)
    const at4500 = { address: B.address, port: 4500 }
    const before = { ...outbound(b) }
    for (const d of network.sent.filter((x) => x.to.port === 4500)) {
      const forged = new Uint8Array(d.message)
      forged[forged.length - 1]! ^= 1
      for (const message of [d.message, forged]) {
        network.inject({ address: PUBLIC.address, port: 5 }, at4500, message)
        network.inject(elsewhere, at4500, message)
      }
    }
    network.runFor(1_000)
    expect(outbound(b)).toEqual(before)
    // A has an address of its own: B's messages and packets from elsewhere change nothing.
    const there = outbound(a)
    a.ike.packetFrom(network.now, a.env.inbound()[0]!, elsewhere)
    expect(a.env.counted('ike.move-ignored')).toBe(1)
    expect(outbound(a)).toEqual(there)
  })

  test('strangers cost a counter', () => {
    const { network, a, b } = behindNat()
    a.ike.acquire(network.now, 1)
    network.runFor(500)
    const sent = network.sent.length
    const first = network.sent.find((d) => d.to.port === 4500)!.message
    for (let i = 0; i < 300; i++)
      b.receive(
        network.now,
        B,
        endpoint('203.0.113.9'),
        first.map((x, at) => (at < 8 ? i : x)),
      )
    expect(b.env.counted('ike.unknown-peer')).toBe(100)
    expect(b.env.counted('ike.rate-limit')).toBe(200)
    expect(network.sent.length).toBe(sent)
  })
})

test('the last words on a renewed IKE SA move nothing back to where the peer was', () => {
  const { network, nat, a, b } = behindNatOf(2)
  a.ike.acquire(network.now, 1)
  network.runFor(500)
  const old = a.peer.ikeSas[0]!.initiatorSpi
  let words = 0
  network.impairment = ({ from, message }) => {
    const mine = formatIp(from.address) === formatIp(PUBLIC.address) && message[18] === EXCHANGE.INFORMATIONAL
    if (!mine || hex(message.subarray(0, 8)) !== old) return [5]
    return words++ === 1 ? [3_000] : []
  }
  a.ike.rekey(network.now, 'b')
  network.runFor(500)
  nat.base = 20_000
  network.runUntil(() => words === 2, 5_000)
  nat.base = 30_000
  const { spi } = a.env.newestOutbound(1)!
  a.ike.expire(network.now, {
    ...{ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked', spi },
  } as const)
  network.runFor(500)
  const port = (): number | undefined => b.env.newestOutbound(1)!.udp?.remotePort
  expect([port(), b.peer.ikeSas.length]).toEqual([34_500, 2])
  network.runUntil(() => b.peer.ikeSas.length === 1, 5_000)
  expect([port(), b.peer.ikeSas.length]).toEqual([34_500, 1])
})

describe.each([1, 2] as const)('encapsulation without a NAT, IKEv%i', (version) => {
  const udpOf = (o: {
    a?: IkePeerConfig['encapsulation']
    b?: IkePeerConfig['encapsulation']
    options?: IkeOptions
  }) => {
    const ends = twoIkes({
      config: { version, encapsulation: o.a ?? 'auto' },
      b: { encapsulation: o.b ?? 'auto' },
      ...(o.options && { options: o.options }),
    })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    return { ...ends, sa: ends.a.env.outbound()[0] }
  }

  test('auto is raw', () => expect(udpOf({}).sa!.udp).toBeUndefined())
  test('auto is UDP when both prefer it', () => {
    const ends = udpOf({ options: { preferUdp: true } })
    expect(convergence(ends)).toEqual([])
    expect(ends.sa!.udp).toEqual({ localPort: 4500, remotePort: 4500 })
    expect(ends.a.env.keepalives).toEqual([])
  })
  test.each([
    ['udp', 'auto'],
    ['auto', 'udp'],
    ['udp', 'udp'],
  ] as const)('%s and %s: UDP', (a, b) => {
    const ends = udpOf({ a, b })
    expect(convergence(ends)).toEqual([])
    expect(ends.sa!.udp).toEqual({ localPort: 4500, remotePort: 4500 })
  })
  test.each([
    ['raw', 'auto'],
    ['auto', 'raw'],
  ] as const)('%s and %s: raw even when it is preferred', (a, b) => {
    const ends = udpOf({ a, b, options: { preferUdp: true } })
    expect(convergence(ends)).toEqual([])
    expect(ends.sa!.udp).toBeUndefined()
  })
  test('udp and raw: told', () => {
    const { a, b } = udpOf({ a: 'udp', b: 'raw' })
    expect(a.peer.lastError?.message).toContain('encapsulation: ours udp, theirs without NAT traversal')
    expect(a.env.sas.size + b.env.sas.size).toBe(0)
  })
  test('AH goes raw beside preferred UDP', () => {
    const ends = twoIkes({
      config: { version, children: [childConfig({ protocol: 'ah' })] },
      options: { preferUdp: true },
    })
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    expect(convergence(ends)).toEqual([])
    expect(ends.a.env.outbound()[0]!.udp).toBeUndefined()
  })
})
