import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { childrenMade, strongswanLab } from './strongswan-tunnel.js'
import { type Child, childrenOf, ikeSas, spiOf, type Tunnel } from './tunnel.js'

// Algorithms, fragments and lanes. Renewals, Deletes and crashes: strongswan-life.test.ts.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const tunnel = (ike: string, child: string): Tunnel => ({ version: 1, ike, child, encapsulation: 'udp' })

const TUNNEL = tunnel('aes128-sha256-modp2048', 'aes128gcm16')

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, IKEv1`, () => {
  const lab = strongswanLab()

  const proposals: [string, string][] = [
    ['aes128-sha256-modp2048', 'aes128-sha256'],
    ['aes256-sha384-ecp384', 'aes256-sha512-ecp256'],
    ['aes128-sha1-ecp256', 'aes128gcm16'],
    ['aes192-sha512-x25519', 'aes256gcm16-x25519'],
    ['aes256-sha512-modp3072', 'aes256-sha384'],
    ['aes128-sha256-modp4096', 'aes128ccm16-modp3072'],
    ['aes256-sha256-ecp521', 'aes128ctr-sha256'],
    ['aes128-sha384-ecp256', 'aes128-aesxcbc'],
    ['aes128-sha256-ecp256', 'aes128ccm8'],
    ['aes256-sha256-ecp256', 'null-sha256'],
    ['aes128-sha256-x25519', 'aes128-sha1'],
  ]

  test.each(proposals)('either end initiates, %s, %s', { timeout: 60_000 }, async (ike, child) => {
    const t = tunnel(ike, child)
    const [mine, swan] = await lab.start(t)
    swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(t)
    swan.swanctl('--terminate', '--ike', 'interop')
    await mine.until('ended', (s) => ikeSas(s) === 0)
    await lab.flows(t)
    expect((await mine.status()).peers[0]!.ike!.sas.map((sa) => sa.initiator)).toEqual([true])
  })

  test.each(['we', 'strongSwan'])('fragments, %s initiate', { timeout: 60_000 }, async (who) => {
    const t = tunnel('aes128-sha256-modp2048', 'aes128gcm16-modp2048')
    const [, swan] = await lab.start(
      t,
      { connection: 'fragmentation = yes', settings: 'fragment_size = 300' },
      { ike: { fragment_size: 300 } },
    )
    if (who === 'strongSwan') swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(t)
    const log = swan.log()
    // Main Mode's messages 3 and 4 and Quick Mode's first two have a public value of 256 octets each.
    expect(log.match(/received fragment #\d/g)?.length).toBeGreaterThanOrEqual(4)
    expect(log.match(/splitting IKE message/g)?.length).toBeGreaterThanOrEqual(2)
  })

  test.each(['we', 'strongSwan'])(
    'two lanes here, %s initiate: strongSwan gets one CHILD_SA, and carries the flows of both',
    { timeout: 90_000 },
    async (who) => {
      const [own] = childrenOf(TUNNEL)
      const addresses = [1, 2, 3, 4, 5, 6].map((i) => `10.88.2.${i + 100}`)
      for (const address of addresses) lab.lab.exec('b', 'ip', 'address', 'add', `${address}/32`, 'dev', 'lo')
      const block = '10.88.2.0/24'
      const [mine, swan] = await lab.start(
        TUNNEL,
        // It would delete what it takes for the predecessor of a second SA.
        { settings: 'delete_rekeyed = yes', localTs: block },
        { dataplane: { lanes: 2 }, child: { remote: [block], lifetime: { time: '20s' } } },
      )
      if (who === 'strongSwan') swan.swanctl('--initiate', '--child', 'interop')
      const towards = (address: string): Child => ({ ...own!, hosts: [own!.hosts[0], address] })
      // The first packet may be lost while the other side still installs its SAs.
      await lab.ping('a', towards(addresses[0]!), { count: 1, wait: 3 })
      for (let round = 0; round < 3; round++) {
        for (const address of addresses) {
          expect(await lab.lost('a', towards(address), { count: 6, wait: 5 }), address).toBeUndefined()
        }
        // Flows of TCP are spread by their ports.
        for (let i = 0; i < 4; i++) {
          const way = { from: own!.hosts[0], to: own!.hosts[1] }
          const moved = await transferImage(lab.lab, { ...way, octets: 1 << 18, deadlineMs: 10_000 })
          expect(moved.sha256Received).toBe(moved.sha256Sent)
        }
        if (round > 0) continue
        const before = spiOf(await mine.status())
        swan.swanctl('--rekey', '--child', 'interop')
        await mine.until('with another pair', (s) => spiOf(s) !== before)
      }
      const { drops, counters, peers } = await mine.status()
      expect(counters.handedOver).toBeGreaterThan(10)
      expect(new Set(peers[0]!.children[0]!.sas.map((sa) => sa.lane))).toEqual(new Set([0]))
      for (const cause of ['unknown-spi', 'no-sa', 'lane-busy']) expect(drops[cause] ?? 0, cause).toBe(0)
      expect(swan.swanctl('--list-sas').match(/INSTALLED/g)).toHaveLength(1)
    },
  )

  test('another key: neither side has an SA, and our log names the cause', { timeout: 60_000 }, async () => {
    const [mine] = await lab.start(TUNNEL, {}, { secret: 'something-else-entirely' })
    await lab.ping('a', childrenOf(TUNNEL)[0]!, { count: 2 })
    await sleep(1_000)
    expect(childrenMade(mine.log())).toBe(0)
    expect(mine.log().replace(/KEY LOG[^"]*/, '')).toMatch(/pre-shared key|another key|key differs/i)
  })
})
