import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ChildView } from '../../src/daemon/status.js'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab, other, type Side } from '../lab/lab.js'
import { Nat } from '../lab/nat.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true, programs: ['nft'] })

describe.skipIf(why !== undefined)('a NAT between the gateways', () => {
  let lab: Lab
  let nat: Nat | undefined
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'router' })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
    nat?.remove()
    nat = undefined
  })
  afterAll(() => lab.close())

  /** The host behind the NAT begins: nobody else can. */
  async function up(
    hidden: Side,
    version: 1 | 2,
    more: GatewaySettings = {},
  ): Promise<[Gateway, Gateway, Nat]> {
    nat = new Nat(lab, hidden)
    const ike = { version, ...(version === 1 && { proposals: ['aes128-sha256-ecp256'] }), ...more.ike }
    const far = { ...more.child, ...(more.transparent === true && { remote: [nat.address] }) }
    const open = await Gateway.start(lab, other(hidden), {
      ...{ ...more, ike, child: far, peer: { remote: nat.address } },
    })
    const inside = await Gateway.start(lab, hidden, {
      ...more,
      ike,
      child: { ...more.child, start: 'start' },
    })
    gateways = [inside, open]
    for (const gateway of gateways)
      await gateway.until('up', (s) => s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'))
    return [inside, open, nat]
  }

  const probe = (side: Side, rate: number, seconds: number) =>
    udpProbe(lab, {
      side,
      from: ADDRESSES[side].inner4,
      to: ADDRESSES[other(side)].inner4,
      rate,
      seconds,
    })

  const ways = (gateway: Gateway): string[] =>
    gateway
      .log()
      .split('\n')
      .filter((line) => line.includes(`"pid":${gateway.pid},`) && line.includes('reached another way'))

  const spis = (child: ChildView): string =>
    child.sas
      .map((sa) => `${sa.direction} ${sa.spi}`)
      .sort()
      .join()

  describe.each([
    ['a', 2],
    ['b', 2],
    ['a', 1],
    ['b', 1],
  ] as const)('%s is behind it, IKEv%i', (hidden, version) => {
    test('packets flow both ways, in UDP', async () => {
      const [inside, open] = await up(hidden, version)
      for (const side of ['a', 'b'] as const) {
        const { sent, received } = await probe(side, 200, 1)
        expect(received).toBe(sent)
      }
      const nats = await Promise.all(
        [inside, open].map(async (g) => (await g.status()).peers[0]!.ike!.sas[0]!.nat),
      )
      expect(nats[0]).toContain('we are behind one')
      expect(nats[1]).toContain('the peer is behind one')
    })

    test('other ports, then another address, while packets flow both ways: nothing is negotiated', async () => {
      const [, open, router] = await up(hidden, version)
      const before = spis(await open.child())
      const probes = Promise.all([probe(hidden, 500, 5), probe(other(hidden), 500, 5)])
      await sleep(1_500)
      router.rebind()
      await sleep(1_500)
      router.readdress()
      const [out, back] = await probes
      // Out nothing is lost; back what was on its way to where nobody is any more.
      console.log(
        `IKEv${version}: ${back.sent - back.received} of ${back.sent} lost, gap ${back.longestGapMs} ms`,
      )
      expect(out.received).toBe(out.sent)
      expect(back.longestGapMs).toBeLessThan(1_000)
      expect(back.received).toBeGreaterThan(back.sent * 0.95)
      expect(spis(await open.child())).toBe(before)
      expect(ways(open)).toHaveLength(2)
      expect((await open.status()).peers[0]!.ike!.sas[0]!.remote).toContain('192.0.2.253:')
    })

    test('other ports while only the host outside sends: found by asking', async () => {
      const [, open, router] = await up(hidden, version, { ike: { dpd: '1s' } })
      const one = probe(other(hidden), 200, 7)
      await sleep(1_500)
      router.rebind()
      const back = await one
      console.log(`IKEv${version}: gap ${back.longestGapMs} ms`)
      expect(back.longestGapMs).toBeLessThan(3_500)
      expect(ways(open)).toHaveLength(1)
    })
  })

  test.each([1, 2] as const)('transport mode, IKEv%i: TCP arrives, its checksums hold', async (version) => {
    const [inside, open] = await up('a', version, { transparent: true, child: { mode: 'transport' } })
    const moved = await transferImage(lab, {
      from: ADDRESSES.a.v4,
      to: ADDRESSES.b.v4,
      octets: 4 << 20,
      deadlineMs: 15_000,
    })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    for (const gateway of [inside, open]) {
      const [sa] = (await gateway.child()).sas.filter((s) => s.direction === 'inbound')
      expect(sa!.packets).toBeGreaterThan(10)
    }
  })
})
