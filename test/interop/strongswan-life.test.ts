import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { established, installed, strongswanLab, WATCHFUL } from './strongswan-tunnel.js'
import { childrenOf, type Family, ikeSas, ikeSpiOf, outerOf, spiOf, type Tunnel } from './tunnel.js'

// What becomes of SAs that are up: both versions over both families, IPv4 and IPv6 inside of IPv6.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

/** Renewals of a CHILD_SA in the test: by strongSwan, by us, and once more. */
const QUICK_MODES = 3

/** Who is killed: each end in each version, and in each family one of them. */
const KILLED = { 2: { 4: 'strongSwan', 6: 'sallyport' }, 1: { 4: 'sallyport', 6: 'strongSwan' } } as const

const ROWS: readonly (readonly [1 | 2, Family])[] = [
  [2, 4],
  [2, 6],
  [1, 4],
  [1, 6],
]

describe.skipIf(missing !== undefined).each(ROWS)(
  `strongSwan ${missing ? '' : strongswanVersion()}, IKEv%i over IPv%i`,
  (version, outer) => {
    const lab = strongswanLab()
    const TUNNEL: Tunnel = {
      ...{ version, outer, inner: outer === 4 ? [4] : [4, 6] },
      ...{ ike: 'aes128-sha256-ecp256', child: 'aes128gcm16-ecp256', encapsulation: 'udp' },
    }
    const children = childrenOf(TUNNEL)
    const names = children.map((c) => c.name)

    test('either end renews CHILD_SAs and IKE SA, packets go on', { timeout: 90_000 }, async () => {
      const [mine, swan] = await lab.start(TUNNEL)
      for (const name of names) swan.swanctl('--initiate', '--child', name)
      await lab.flows(TUNNEL)
      const pings = children.map((child) => lab.pinging('a', child))
      const ends = {
        strongSwan: {
          child: async (name: string) => swan.swanctl('--rekey', '--child', name),
          ike: async () => swan.swanctl('--rekey', '--ike', 'interop'),
        },
        we: {
          child: (name: string) => mine.rekey(name),
          ike: () => mine.rekeyIke('other'),
        },
      }
      for (const [who, end] of Object.entries(ends)) {
        for (const name of names) {
          const before = spiOf(await mine.status(), name)
          await end.child(name)
          await mine.until(`with another ${name} by ${who}`, (s) => spiOf(s, name) !== before)
        }
        const before = ikeSpiOf(await mine.status())
        await end.ike()
        await mine.until(`with another IKE SA by ${who}`, (s) => ikeSpiOf(s) !== before)
        // With IKEv1 strongSwan keeps the old one for a while.
        await lab.listed((list) => established(list) === 1 && (version === 1 || !list.includes('REKEYING')))
      }
      // And under the new one.
      const before = spiOf(await mine.status())
      await mine.rekey(names[0]!)
      await mine.until('with another pair', (s) => spiOf(s) !== before)
      // With IKEv1 its initiator is told by nobody that the responder has its new SA: what overtakes message 3 is lost.
      for (const ping of pings)
        expect((await ping.stop()).length).toBeLessThanOrEqual(version === 2 ? 0 : QUICK_MODES)
      await lab.flows(TUNNEL)
      expect(established(swan.swanctl('--list-sas'))).toBe(1)
    })

    test('Deletes of CHILD_SA and IKE SA by either end', { timeout: 90_000 }, async () => {
      const [mine, swan] = await lab.start(TUNNEL)
      await lab.flows(TUNNEL)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([
        { version, initiator: true, local: expect.stringContaining(outerOf(TUNNEL)[0]) },
      ])
      const [name] = names as [string]

      swan.swanctl('--terminate', '--child', name)
      await mine.until('without it', (s) => spiOf(s, name) === undefined)
      expect(established(swan.swanctl('--list-sas'))).toBe(1)
      await lab.flows(TUNNEL)

      await mine.terminate(name)
      await lab.listed((list) => installed(list) === names.length - 1)
      expect(spiOf(await mine.status(), name)).toBeUndefined()
      expect(established(swan.swanctl('--list-sas'))).toBe(1)
      await lab.flows(TUNNEL)

      swan.swanctl('--terminate', '--ike', 'interop')
      await mine.until('without IKE SA', (s) => ikeSas(s) === 0)
      await lab.flows(TUNNEL)

      await mine.terminateIke('other')
      await lab.listed((list) => list === '')
      await mine.until('without IKE SA', (s) => ikeSas(s) === 0)
      await lab.flows(TUNNEL)

      await mine.stop()
      await lab.listed((list) => list === '')
    })

    const killed = KILLED[version][outer]
    test(`${killed} is killed and comes back`, { timeout: 90_000 }, async () => {
      const [mine, swan] = await lab.start(TUNNEL, WATCHFUL)
      await lab.flows(TUNNEL)
      if (killed === 'strongSwan') {
        swan.kill9()
        await mine.until('aware of it', (s) => ikeSas(s) === 0, 40_000)
        await lab.strongswan(TUNNEL, WATCHFUL)
      } else {
        mine.kill9()
        await lab.listed((list) => list === '', 30_000)
        await lab.sallyport(TUNNEL)
      }
      await lab.flows(TUNNEL)
      expect(established(lab.charon!.swanctl('--list-sas'))).toBe(1)
    })
  },
)
