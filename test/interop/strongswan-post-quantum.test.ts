import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { type StrongswanSettings, strongswanLab } from './strongswan-tunnel.js'
import { childrenOf, ikeSpiOf, type SallyportSettings, spiOf, type Tunnel } from './tunnel.js'

// Post-quantum preshared keys (RFC 8784) with strongSwan, and an offer of ML-KEM-768 to one that has not heard of it.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const PPK = 'a5'.repeat(32)
const TUNNEL: Tunnel = {
  ...{ version: 2, encapsulation: 'udp' },
  ...{ ike: 'aes128gcm16-prfsha256-x25519', child: 'aes128gcm16' },
}

describe.skipIf(missing !== undefined)(
  `strongSwan ${missing ? '' : strongswanVersion()}, post-quantum`,
  () => {
    const lab = strongswanLab()

    const mine = (required: boolean): SallyportSettings => {
      const key_file = lab.lab.file('pair.ppk', `0x${PPK}\n`)
      return { peer: { ppk: { id: 'pair', key_file, required } } }
    }
    const swans = (connection: string, secret = PPK, id = 'pair'): StrongswanSettings => ({
      connection,
      secrets: `ppk-1 { secret = 0x${secret}\n id = ${id} }`,
    })
    const REQUIRED = 'ppk_id = pair\n ppk_required = yes'
    const OPTIONAL = 'ppk_id = pair\n ppk_required = no'

    test.each([
      ['required', true, REQUIRED],
      ['optional', false, OPTIONAL],
    ])('we initiate, %s', { timeout: 60_000 }, async (_, required, connection) => {
      const [, swan] = await lab.start(TUNNEL, swans(connection), mine(required))
      await lab.flows(TUNNEL)
      expect(swan.log()).toMatch(/using PPK for PPK_ID 'pair'/)
    })

    test('strongSwan initiates, required, and renews the IKE SA and the child', {
      timeout: 60_000,
    }, async () => {
      const [gateway, swan] = await lab.start(TUNNEL, swans(REQUIRED), mine(true))
      swan.swanctl('--initiate', '--child', 'interop')
      await lab.flows(TUNNEL)
      const first = await gateway.status()
      swan.swanctl('--rekey', '--ike', 'interop')
      await gateway.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
      swan.swanctl('--rekey', '--child', 'interop')
      await gateway.until('with another pair', (s) => spiOf(s) !== spiOf(first))
      await lab.flows(TUNNEL)
      expect(swan.log()).toMatch(/using PPK for PPK_ID 'pair'/)
    })

    test('without one at the other end: only where it may be missing', { timeout: 60_000 }, async () => {
      const [, swan] = await lab.start(TUNNEL, swans('', PPK, 'elsewhere'), mine(false))
      await lab.flows(TUNNEL)
      expect(swan.log()).not.toMatch(/using PPK/)
    })

    test('keys that differ: no SA, and both say so', { timeout: 60_000 }, async () => {
      const [gateway, swan] = await lab.start(TUNNEL, swans(REQUIRED, 'b6'.repeat(32)), mine(true))
      expect(() => swan.swanctl('--initiate', '--child', 'interop')).toThrow()
      const status = await gateway.status()
      expect(status.peers[0]!.ike!.lastError).toMatch(/post-quantum preshared key differs/)
    })

    describe('our default proposals', () => {
      const settings: StrongswanSettings = { ike: 'aes256gcm16-prfsha384-x25519,default' }
      // As if nothing stood in the configuration.
      const defaults: SallyportSettings = { ike: { proposals: undefined } }

      test.each(['we', 'strongSwan'])('%s initiate', { timeout: 60_000 }, async (who) => {
        const [gateway, swan] = await lab.start(TUNNEL, settings, defaults)
        if (who === 'we') await lab.ping('a', childrenOf(TUNNEL)[0]!, { count: 1 })
        else swan.swanctl('--initiate', '--child', 'interop')
        await lab.flows(TUNNEL)
        const [sa] = (await gateway.status()).peers[0]!.ike!.sas
        expect(sa!.proposal).toBe('aes256gcm16-prfsha384-x25519')
        expect(sa!.initiator).toBe(who === 'we')
      })

      test('renewed by either end', { timeout: 60_000 }, async () => {
        const [gateway, swan] = await lab.start(TUNNEL, settings, defaults)
        await lab.flows(TUNNEL)
        const first = await gateway.status()
        swan.swanctl('--rekey', '--ike', 'interop')
        const second = await gateway.until('renewed by strongSwan', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
        await lab.flows(TUNNEL)
        await gateway.rekeyIke('other')
        await gateway.until('renewed by us', (s) => ikeSpiOf(s) !== ikeSpiOf(second))
        await lab.flows(TUNNEL)
        expect((await gateway.status()).events['ike.rekeyed']).toBe(2)
      })
    })
  },
)
