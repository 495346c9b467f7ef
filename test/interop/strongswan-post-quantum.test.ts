import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

// Post-quantum preshared keys (RFC 8784) with strongSwan, and an offer of ML-KEM-768 to one that has not heard of it.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const SECRET = 'interop-0123456789abcdef'
const PPK = 'a5'.repeat(32)
const [A, B] = [ADDRESSES.a.v4, ADDRESSES.b.v4]
const [OURS, THEIRS] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]
const PROPOSAL = 'aes128gcm16-prfsha256-x25519'

const ours = (lab: Lab, ppk: string, ike = `{ proposals: [${PROPOSAL}] }`): string => `
host: { id: ${A}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${OURS}/32] }
peers:
  strongswan:
    id: ${B}
    local: ${A}
    remote: ${B}
    key_file: ${lab.path('k.psk')}
    dynamic_psk: off
    ${ppk}
    encapsulation: udp
    ike: ${ike}
    children:
      interop: { local: [${OURS}/32], remote: [${THEIRS}/32], proposals: [aes128gcm16] }
`

const theirs = (ppk: string, secret: string, id: string, proposals = PROPOSAL): string => `
connections { interop {
  version = 2
  local_addrs = ${B}
  remote_addrs = ${A}
  encap = yes
  proposals = ${proposals}
  ${ppk}
  local { auth = psk\n id = ${B} }
  remote { auth = psk\n id = ${A} }
  children { interop { local_ts = ${THEIRS}/32\n remote_ts = ${OURS}/32\n esp_proposals = aes128gcm16 } }
} }
secrets {
  ike-1 { secret = "${SECRET}" }
  ppk-1 { secret = 0x${secret}\n id = ${id} }
}
`

describe.skipIf(missing !== undefined)(
  `strongSwan ${missing ? '' : strongswanVersion()}, post-quantum`,
  () => {
    let lab: Lab
    let gateway: Gateway | undefined
    let charon: Strongswan | undefined

    beforeEach(async () => {
      lab = await Lab.create({ wire: 'cable' })
      lab.exec('b', 'ip', 'address', 'add', `${THEIRS}/32`, 'dev', 'lo')
      lab.file('k.psk', `psk: ${SECRET}\n`)
      lab.file('pair.ppk', `0x${PPK}\n`)
    })

    afterEach(async () => {
      await gateway?.stop()
      await charon?.stop()
      lab.close()
    })

    const start = async (mine: string, swans: string, secret = PPK, id = 'pair'): Promise<Strongswan> => {
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(swans, secret, id))
      gateway = await Gateway.start(lab, 'a', ours(lab, mine))
      return charon
    }
    const ping = (): string =>
      spawnSync(
        'ip',
        ['netns', 'exec', lab.namespace('a'), 'ping', '-c', '5', '-i', '0.2', '-W', '2', THEIRS],
        {
          encoding: 'utf8',
        },
      ).stdout

    const mine = (required: boolean): string =>
      `ppk: { id: pair, key_file: ${lab.path('pair.ppk')}, required: ${required} }`
    const REQUIRED = 'ppk_id = pair\n ppk_required = yes'
    const OPTIONAL = 'ppk_id = pair\n ppk_required = no'

    test.each([
      ['required', true, REQUIRED],
      ['optional', false, OPTIONAL],
    ])('we initiate, %s', { timeout: 60_000 }, async (_, required, swans) => {
      const swan = await start(mine(required), swans)
      ping()
      expect(ping()).toContain(' 0% packet loss')
      expect(swan.log()).toMatch(/using PPK for PPK_ID 'pair'/)
    })

    test('strongSwan initiates, required, and renews the IKE SA and the child', {
      timeout: 60_000,
    }, async () => {
      const swan = await start(mine(true), REQUIRED)
      swan.swanctl('--initiate', '--child', 'interop')
      expect(ping()).toContain(' 0% packet loss')
      swan.swanctl('--rekey', '--ike', 'interop')
      swan.swanctl('--rekey', '--child', 'interop')
      expect(ping()).toContain(' 0% packet loss')
      expect(swan.log()).toMatch(/using PPK for PPK_ID 'pair'/)
    })

    test('without one at the other end: only where it may be missing', { timeout: 60_000 }, async () => {
      const swan = await start(mine(false), '', PPK, 'elsewhere')
      ping()
      expect(ping()).toContain(' 0% packet loss')
      expect(swan.log()).not.toMatch(/using PPK/)
    })

    test('keys that differ: no SA, and both say so', { timeout: 60_000 }, async () => {
      const swan = await start(mine(true), REQUIRED, 'b6'.repeat(32))
      expect(() => swan.swanctl('--initiate', '--child', 'interop')).toThrow()
      const status = await gateway!.status()
      expect(status.peers[0]!.ike!.lastError).toMatch(/post-quantum preshared key differs/)
    })

    test.each(['we initiate', 'strongSwan initiates'])(
      'our default proposals, %s',
      { timeout: 60_000 },
      async (who) => {
        const swans = 'aes256gcm16-prfsha384-x25519,default'
        charon = await Strongswan.start(
          lab.namespace('b'),
          lab.path('charon'),
          theirs('', PPK, 'elsewhere', swans),
        )
        gateway = await Gateway.start(lab, 'a', ours(lab, '', '{}'))
        if (who === 'we initiate') ping()
        else charon.swanctl('--initiate', '--child', 'interop')
        expect(ping()).toContain(' 0% packet loss')
        const [sa] = (await gateway.status()).peers[0]!.ike!.sas
        expect(sa!.proposal).toBe('aes256gcm16-prfsha384-x25519')
      },
    )

    test('our default proposals, renewed by either end', { timeout: 90_000 }, async () => {
      const swans = 'aes256gcm16-prfsha384-x25519,default'
      const conf = theirs('', PPK, 'elsewhere', swans)
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), conf)
      gateway = await Gateway.start(lab, 'a', ours(lab, '', '{ lifetime: 20s }'))
      ping()
      const spis = async () => (await gateway!.status()).peers[0]!.ike!.sas.map((sa) => sa.initiatorSpi)
      const first = await spis()
      charon.swanctl('--rekey', '--ike', 'interop')
      await gateway.until('renewed by strongSwan', (s) => renewals(s) >= 1)
      expect(ping()).toContain(' 0% packet loss')
      await gateway.until('renewed by us', (s) => renewals(s) >= 2, 40_000)
      expect(ping()).toContain(' 0% packet loss')
      expect(await spis()).not.toEqual(first)
    })
  },
)

const renewals = (s: Awaited<ReturnType<Gateway['status']>>): number => s.events['ike.rekeyed'] ?? 0
