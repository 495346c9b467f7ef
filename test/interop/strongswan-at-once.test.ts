import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { childrenMade, established, installed, strongswanLab } from './strongswan-tunnel.js'
import { childrenOf, one, spiOf, type Tunnel } from './tunnel.js'

// What only time brings: lives that end, and both ends that begin at once.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const TUNNEL: Tunnel = {
  ...{ version: 2, encapsulation: 'udp' },
  ...{ ike: 'aes128gcm16-prfsha256-ecp256', child: 'aes128gcm16-x25519' },
}
const [CHILD] = childrenOf(TUNNEL) as [ReturnType<typeof childrenOf>[number]]

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, in time`, () => {
  const lab = strongswanLab()

  test.each([2, 1] as const)(
    'IKEv%i: we renew CHILD_SA and IKE SA before their end, packets go on',
    { timeout: 90_000 },
    async (version) => {
      const t = version === 2 ? TUNNEL : { ...TUNNEL, version, ike: 'aes128-sha256-ecp256' }
      const [mine, swan] = await lab.start(
        t,
        {},
        { ike: { lifetime: '10s' }, child: { lifetime: { time: '6s' } } },
      )
      await lab.flows(t)
      const pings = lab.pinging('a', CHILD)
      await sleep(15_000)
      expect(await pings.stop()).toEqual([])
      const status = await mine.status()
      expect(status.events['ike.child-established']).toBeGreaterThan(2)
      if (version === 2) expect(status.events['ike.rekeyed']).toBeGreaterThanOrEqual(1)
      else expect(status.events['ike.established']).toBeGreaterThanOrEqual(2)
      await lab.flows(t)
      expect(installed(swan.swanctl('--list-sas'))).toBeGreaterThanOrEqual(1)
    },
  )

  test('traffic the other way alone while we rekey: nothing is lost', { timeout: 60_000 }, async () => {
    const [mine] = await lab.start(TUNNEL)
    await lab.flows(TUNNEL)
    const pings = lab.pinging('b', CHILD)
    for (let i = 0; i < 3; i++) {
      const before = spiOf(await mine.status())
      await mine.rekey('interop')
      await mine.until('with another pair', (s) => spiOf(s) !== before)
      await sleep(1_000)
    }
    expect(await pings.stop()).toEqual([])
    expect(childrenMade(mine.log())).toBe(4)
  })

  test('both begin at once: packets flow, and one IKE SA is left', { timeout: 120_000 }, async () => {
    const [mine, swan] = await lab.start(TUNNEL)
    const first = lab.ping('a', CHILD, { count: 1 })
    try {
      swan.swanctl('--initiate', '--child', 'interop')
    } catch (error) {
      // Ours was first: it has what it was asked for.
      expect(String(error)).toContain('existing duplicate')
    }
    await first
    await lab.flows(TUNNEL)
    // What was made too much goes when the other end is sure to have moved.
    await mine.until('with one IKE SA', one, 60_000)
    await lab.listed((list) => established(list) === 1)
    await lab.flows(TUNNEL)
  })
})
