import { describe, expect, test } from 'vitest'
import type { DynamicPsk } from '../../src/ike/config.js'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { childConfig, IkeEnd, ikePeer, mirroredPeer, selector } from './ike-ends.js'
import { B, endpoint, ip } from './prephase-ends.js'
import { type Datagram, seededRandom, VirtualNetwork } from './virtual-network.js'

// Many peers on one host, and floods in their names.

interface Many {
  readonly network: VirtualNetwork
  /** Each has one peer: the hub. */
  readonly hosts: readonly IkeEnd[]
  readonly hub: IkeEnd
}

const addressOf = (i: number): string => `198.51.${100 + (i >> 8)}.${i & 0xff}`

function many(n: number, version: 1 | 2, dynamicPsk: DynamicPsk, dpdDelaySeconds = 0): Many {
  const network = new VirtualNetwork()
  const configs = Array.from({ length: n }, (_, i) =>
    ikePeer({
      ...{ version, dynamicPsk, dpdDelaySeconds, local: ip(addressOf(i)), key: seededRandom(`key ${i}`)(32) },
      children: [childConfig({ policy: i + 1, localTs: [selector(`10.77.${i >> 8}.${i & 0xff}/32`)] })],
    }),
  )
  const hosts = configs.map((c, i) => new IkeEnd(network, [c], `host ${i}`))
  const hub = new IkeEnd(
    network,
    configs.map((c, i) => mirroredPeer(c, `host-${i}`)),
    'hub',
  )
  return { network, hosts, hub }
}

const up = (e: IkeEnd): boolean => e.established().length === 1 && e.current().length === 1
const halfOpen = (e: IkeEnd): number =>
  e.ike.status().reduce((n, p) => n + p.ikeSas.filter((sa) => sa.establishedAt === undefined).length, 0)

describe.each([
  [2, 'hardened'],
  [2, 'off'],
  [1, 'classic'],
  [1, 'off'],
] as const)('200 peers at once, IKEv%i, dynamic_psk: %s', (version, dynamicPsk) => {
  test('all come up, and nothing is left when they go', () => {
    const { network, hosts, hub } = many(200, version, dynamicPsk)
    for (const [i, host] of hosts.entries()) host.ike.acquire(network.now, i + 1)
    network.runFor(10_000)
    expect(hosts.filter((h) => !up(h)).length).toBe(0)
    const peers = hub.ike.status()
    expect(peers.map((p) => p.phase)).toEqual(peers.map(() => 'established'))
    expect(hub.env.sas.size).toBe(400)
    expect(hub.env.counted('ike.established')).toBe(200)
    // Cookies are asked for when so many begin at once, but not of those that a pre-phase has proved.
    expect(hub.env.counted('ike.cookie-asked') > 0).toBe(version === 2 && dynamicPsk === 'off')

    for (const host of hosts) host.ike.terminate(network.now, 'b')
    network.runFor(120_000)
    expect(hub.env.sas.size).toBe(0)
    expect(hub.ike.status().flatMap((p) => [...p.ikeSas, ...p.children, ...p.wanted])).toEqual([])
    // Nobody waits for anything any more.
    expect(hub.ike.nextDeadline()).toBeUndefined()
    expect(hosts.map((h) => h.ike.nextDeadline())).toEqual(hosts.map(() => undefined))
  }, 60_000)
})

test.each([
  [2, 'off'],
  [1, 'off'],
  [1, 'classic'],
  [2, 'hardened'],
] as const)(
  'a peer that comes and goes as fast as it can is not held up, IKEv%i, dynamic_psk: %s',
  (version, dynamicPsk) => {
    const { network, hosts, hub } = many(1, version, dynamicPsk)
    const host = hosts[0]!
    for (let i = 0; i < 100; i++) {
      host.ike.initiate(network.now, 'b')
      expect(network.runUntil(() => up(host), 500)).toBe(true)
      host.ike.terminate(network.now, 'b')
    }
    expect(hub.env.counted('ike.established')).toBe(100)
    network.runFor(120_000)
    expect([hub.env.sas.size, hub.peer.ikeSas.length]).toEqual([0, 0])
  },
)

test('one peer’s deadline does not wake the others', () => {
  const { network, hosts, hub } = many(50, 2, 'off', 30)
  for (const [i, host] of hosts.entries()) host.ike.acquire(network.now, i + 1)
  network.runFor(10_000)
  const before = network.sent.length
  let ticks = 0
  const { ike } = hub
  network.attach(B.address, {
    receive: (...args) => ike.receive(...args),
    nextDeadline: () => ike.nextDeadline(),
    tick: (now) => {
      ticks++
      ike.tick(now)
    },
  })
  network.runFor(300_000)
  // Ten rounds of dead peer detection, each a question and an answer from one side or the other.
  expect(network.sent.length - before).toBeLessThanOrEqual(50 * 11 * 4)
  expect(ticks).toBeLessThanOrEqual(50 * 11 * 2)
}, 60_000)

/** A flood of copies of a message under fresh SPIs, so many a millisecond on average. */
function flood(
  network: VirtualNetwork,
  message: Uint8Array,
  from: readonly string[],
  perMs: number,
  ms: number,
): void {
  const random = seededRandom('flood')
  const times = Array.from(
    { length: perMs * ms },
    () => (new DataView(random(4).buffer).getUint32(0) / 2 ** 32) * ms,
  )
  for (const [i, at] of times.sort((a, b) => a - b).entries()) {
    const copy = new Uint8Array(message)
    copy.set(random(8))
    network.inject(endpoint(from[i % from.length]!), B, copy, at)
  }
}

/** The first message that a host sends in an exchange of the type. */
function sample(version: 1 | 2, dynamicPsk: DynamicPsk, exchange: number): Uint8Array {
  const { network, hosts } = many(1, version, dynamicPsk)
  hosts[0]!.ike.acquire(network.now, 1)
  network.runFor(1_000)
  return network.sent.find((d: Datagram) => d.message[18] === exchange)!.message
}

describe('5000 first messages a second in a peer’s name', () => {
  const firstOf = { 1: EXCHANGE.MAIN_MODE, 2: EXCHANGE.IKE_SA_INIT } as const
  const cases = [
    [2, 'off', 'IKE_SA_INIT'],
    [2, 'hardened', 'IKE_SA_INIT'],
    [2, 'hardened', 'step 1'],
    [1, 'hardened', 'message 1'],
    [1, 'off', 'message 1'],
  ] as const
  test.each(cases)(
    'IKEv%i, dynamic_psk: %s, %s',
    (version, dynamicPsk, what) => {
      const { network, hosts, hub } = many(2, version, dynamicPsk)
      const exchange = what === 'step 1' ? EXCHANGE.PREPHASE : firstOf[version]
      const message = sample(version, dynamicPsk, exchange)
      flood(network, message, [addressOf(0)], 5, 5_000)
      network.runFor(1_500)
      for (const [i, host] of hosts.entries()) host.ike.acquire(network.now, i + 1)
      let most = 0
      for (let i = 0; i < 34; i++) {
        network.runFor(100)
        most = Math.max(most, halfOpen(hub))
      }
      expect(most).toBeLessThanOrEqual(2 * IKE_LIMITS.halfOpenPerPeer)
      // The other peer does not notice at all; the one whose name is used comes through where first messages can be told apart:
      // by a cookie, or by a pre-phase.
      expect(up(hosts[1]!)).toBe(true)
      const told = !(version === 1 && dynamicPsk === 'off')
      if (told) expect(up(hosts[0]!)).toBe(true)
      network.runFor(60_000)
      expect(up(hosts[0]!)).toBe(true)
      network.runFor(60_000)
      expect([halfOpen(hub), hub.env.sas.size]).toEqual([0, 4])
      // What it cost is counted, and told once in a while.
      expect(hub.env.lines.filter((l) => l.level !== 'debug').length).toBeLessThan(60)
    },
    60_000,
  )

  test('in the names of 200 peers: cookies are on for all of them, and one that is real comes through', () => {
    const { network, hosts, hub } = many(200, 2, 'off')
    const message = sample(2, 'off', EXCHANGE.IKE_SA_INIT)
    const names = hosts.map((_, i) => addressOf(i))
    flood(network, message, names, 5, 4_000)
    network.runFor(2_000)
    hosts[7]!.ike.acquire(network.now, 8)
    network.runFor(1_900)
    expect(up(hosts[7]!)).toBe(true)
    // The burst, what the rate has let through since, and the real one.
    const { allFirstsBurst, allFirstsPerSecond, cookieAboveTotal } = IKE_LIMITS
    expect(halfOpen(hub)).toBeLessThanOrEqual(Math.max(cookieAboveTotal, 1))
    expect(halfOpen(hub)).toBeLessThan(allFirstsBurst + 4 * allFirstsPerSecond)
    expect(hub.env.counted('ike.cookie-asked')).toBeGreaterThan(10_000)
    network.runFor(60_000)
    expect(halfOpen(hub)).toBe(0)
  }, 60_000)
})
