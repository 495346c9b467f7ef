import { describe, expect, test } from 'vitest'
import type { Gateway } from '../lab/gateway.js'
import { ADDRESSES } from '../lab/lab.js'
import { Nat } from '../lab/nat.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, type Strongswan, strongswanVersion } from './peers/strongswan.js'
import { established, installed, type StrongswanSettings, strongswanLab } from './strongswan-tunnel.js'
import { childrenOf, ikeSas, ikeSpiOf, spiOf, type Tunnel } from './tunnel.js'

// A real NAT between sallyport (host a) and strongSwan (host b), with either behind it.

const missing = whyNoLab({ tun: true, programs: ['nft'] }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan, nftables and network namespaces: ${missing}`)

const { a, b } = ADDRESSES

/** It knows soon that we are gone, and is patient while a NAT forgets. */
const PATIENT = {
  connection: 'mobike = no\n  dpd_delay = 2s\n  dpd_timeout = 10s',
  settings: 'retransmit_timeout = 1\n retransmit_tries = 3',
} as const satisfies StrongswanSettings

describe.skipIf(missing !== undefined).each([
  [2, 'a'],
  [2, 'b'],
  [1, 'a'],
  [1, 'b'],
] as const)(
  `strongSwan ${missing ? '' : strongswanVersion()}, IKEv%i, %s is behind a NAT`,
  (version, hidden) => {
    const lab = strongswanLab({ wire: 'router' })
    const t: Tunnel = {
      ...{ version, encapsulation: 'auto' },
      ...{ ike: 'aes128-sha256-ecp256', child: 'aes128gcm16-ecp256' },
    }
    const [child] = childrenOf(t)
    let nat: Nat

    const strongswan = (): Promise<Strongswan> =>
      lab.strongswan(t, { ...PATIENT, remote: hidden === 'a' ? nat.address : a.v4 })
    const sallyport = (): Promise<Gateway> =>
      lab.sallyport(t, { peer: { remote: hidden === 'b' ? nat.address : b.v4 } })

    /** The host behind the NAT begins: nobody else can. */
    const begin = async (): Promise<void> => {
      if (hidden === 'b') lab.charon!.swanctl('--initiate', '--child', 'interop')
      await lab.flows(t)
    }

    const up = async (): Promise<[Gateway, Strongswan]> => {
      nat = new Nat(lab.lab, hidden)
      const swan = await strongswan()
      const mine = await sallyport()
      await begin()
      return [mine, swan]
    }

    test('up, both renewed by either end, other ports', { timeout: 90_000 }, async () => {
      const [mine, swan] = await up()
      const first = await mine.status()
      const { nat: found, local, remote } = first.peers[0]!.ike!.sas[0]!
      expect(found).toContain(hidden === 'a' ? 'we are behind one' : 'the peer is behind one')
      expect(hidden === 'a' ? remote : local).toMatch(/:4500$/)
      if (hidden === 'b') expect(remote).toMatch(/:201\d\d$|:200\d\d$/)

      swan.swanctl('--rekey', '--child', 'interop')
      const second = await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
      await mine.rekey('interop')
      await mine.until('with another pair', (s) => spiOf(s) !== spiOf(second))
      await mine.rekeyIke('other')
      const third = await mine.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
      await lab.listed((list) => established(list) === 1 && (version === 1 || !list.includes('REKEYING')))
      swan.swanctl('--rekey', '--ike', 'interop')
      await mine.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(third))
      await lab.flows(t)

      nat.rebind()
      // What the host outside sends is lost until the other one has been heard from its new port: at the next DPD at the latest.
      for (
        let i = 0;
        i < 20 && !(await lab.ping('a', child!, { count: 1, wait: 1 })).includes(' 0% packet loss');
        i++
      );
      await lab.flows(t)
      await lab.listed((list) => established(list) === 1)
    })

    test('Deletes of either end, and the host behind it is killed', { timeout: 90_000 }, async () => {
      const [mine, swan] = await up()
      swan.swanctl('--terminate', '--child', 'interop')
      await mine.until('without it', (s) => spiOf(s) === undefined)
      await lab.flows(t)
      await mine.terminate('interop')
      await lab.listed((list) => installed(list) === 0)
      await lab.flows(t)
      swan.swanctl('--terminate', '--ike', 'interop')
      await mine.until('without IKE SA', (s) => ikeSas(s) === 0)
      await begin()
      await mine.terminateIke('other')
      await lab.listed((list) => list === '')
      await begin()
      if (hidden === 'a') {
        mine.kill9()
        await lab.listed((list) => list === '', 30_000)
        await sallyport()
      } else {
        swan.kill9()
        await mine.until('aware of it', (s) => ikeSas(s) === 0, 40_000)
        await strongswan()
      }
      await begin()
      expect(established(lab.charon!.swanctl('--list-sas'))).toBe(1)
    })
  },
)
