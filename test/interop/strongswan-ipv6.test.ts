import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

// An underlay of IPv6, IPv6 and IPv4 inside, and a sallyport that is killed and comes back.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const SECRET = 'interop-0123456789abcdef'
const [A, B] = [ADDRESSES.a.v6, ADDRESSES.b.v6]
const [OURS, THEIRS] = [ADDRESSES.a, ADDRESSES.b]
const IKE = 'aes128-sha256-ecp256'
const ESP = 'aes128gcm16-ecp256'

const ours = (lab: Lab, version: 1 | 2): string => `
host: { id: '${A}', state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${OURS.inner4}/32, '${OURS.inner6}/128'] }
peers:
  strongswan:
    id: '${B}'
    local: '${A}'
    remote: '${B}'
    key_file: ${lab.path('k.psk')}
    dynamic_psk: off
    encapsulation: udp
    ike: { version: ${version}, proposals: [${IKE}], dpd: 2s }
    children:
      four: { local: [${OURS.inner4}/32], remote: [${THEIRS.inner4}/32], proposals: [${ESP}] }
      six: { local: ['${OURS.inner6}/128'], remote: ['${THEIRS.inner6}/128'], proposals: [${ESP}] }
`

const theirs = (version: 1 | 2): string => `
connections { interop {
  version = ${version}
  local_addrs = ${B}
  remote_addrs = ${A}
  encap = yes
  dpd_delay = 2s
  dpd_timeout = 6s
  proposals = ${IKE}
  local { auth = psk\n id = ${B} }
  remote { auth = psk\n id = ${A} }
  children {
    four { local_ts = ${THEIRS.inner4}/32\n remote_ts = ${OURS.inner4}/32\n esp_proposals = ${ESP} }
    six { local_ts = ${THEIRS.inner6}/128\n remote_ts = ${OURS.inner6}/128\n esp_proposals = ${ESP} }
  }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`

describe.skipIf(missing !== undefined).each([2, 1] as const)(
  `strongSwan ${missing ? '' : strongswanVersion()} over IPv6, IKEv%i`,
  (version) => {
    let lab: Lab
    let gateway: Gateway | undefined
    let charon: Strongswan | undefined

    beforeEach(async () => {
      lab = await Lab.create({ wire: 'cable' })
      lab.exec('b', 'ip', 'address', 'add', `${THEIRS.inner4}/32`, 'dev', 'lo')
      lab.exec('b', 'ip', 'address', 'add', `${THEIRS.inner6}/128`, 'dev', 'lo', 'nodad')
      lab.file('k.psk', `psk: ${SECRET}\n`)
    })

    afterEach(async () => {
      await gateway?.stop()
      await charon?.stop()
      gateway = undefined
      charon = undefined
      lab.close()
    })

    const start = async (): Promise<[Gateway, Strongswan]> => {
      charon = await strongswan()
      gateway = await Gateway.start(lab, 'a', ours(lab, version))
      return [gateway, charon]
    }

    const strongswan = (): Promise<Strongswan> =>
      Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(version), {
        settings: 'retransmit_timeout = 0.5\n retransmit_tries = 3',
      })

    const ping = (side: Side, from: string, to: string): string =>
      spawnSync(
        'ip',
        ['netns', 'exec', lab.namespace(side), 'ping', '-c', '3', '-i', '0.1', '-W', '3', '-I', from, to],
        { encoding: 'utf8' },
      ).stdout

    /** Both families, both ways. The first packet may be lost while the other side still installs its SAs. */
    const flows = (): void => {
      for (const [mine, his] of [
        [OURS.inner4, THEIRS.inner4],
        [OURS.inner6, THEIRS.inner6],
      ] as const) {
        ping('a', mine, his)
        expect(ping('a', mine, his)).toContain(' 0% packet loss')
        expect(ping('b', his, mine)).toContain(' 0% packet loss')
      }
    }

    test('either end initiates, and renews both', { timeout: 60_000 }, async () => {
      const [mine, swan] = await start()
      for (const child of ['four', 'six']) swan.swanctl('--initiate', '--child', child)
      flows()
      const spis = async (): Promise<number[]> =>
        (await mine.status()).peers[0]!.ike!.children.flatMap((c) =>
          c.state === 'CURRENT' ? c.inboundSpi : [],
        )
      const before = await spis()
      for (const child of ['four', 'six']) swan.swanctl('--rekey', '--child', child)
      await sleep(1_000)
      await mine.rekeyIke('strongswan')
      await sleep(500)
      flows()
      const after = await spis()
      expect(after).toHaveLength(2)
      expect(after.filter((spi) => before.includes(spi))).toEqual([])
      swan.swanctl('--terminate', '--ike', 'interop')
      await mine.until('ended', (s) => s.peers[0]!.ike!.sas.length === 0)
      flows()
      const { sas } = (await mine.status()).peers[0]!.ike!
      expect(sas).toMatchObject([{ version, initiator: true, local: `[${A}]:4500` }])
    })

    test('strongSwan is killed and comes back', { timeout: 90_000 }, async () => {
      const [mine, swan] = await start()
      flows()
      swan.kill9()
      await mine.until('aware of it', (s) => s.peers[0]!.ike!.sas.length === 0, 40_000)
      charon = await strongswan()
      flows()
    })

    test('sallyport is killed and comes back', { timeout: 90_000 }, async () => {
      const [mine, swan] = await start()
      flows()
      mine.kill9()
      for (let i = 0; i < 150 && swan.swanctl('--list-sas') !== ''; i++) await sleep(200)
      expect(swan.swanctl('--list-sas')).toBe('')
      gateway = await Gateway.start(lab, 'a', ours(lab, version))
      flows()
      expect(swan.swanctl('--list-sas').match(/ESTABLISHED/g)).toHaveLength(1)
    })
  },
)
