import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { controlSocket, Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { Nat } from '../lab/nat.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'

// A real NAT between sallyport (host a) and strongSwan (host b), with either behind it.

const missing = whyNoLab({ tun: true, programs: ['nft'] }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan, nftables and network namespaces: ${missing}`)

const SECRET = 'interop-0123456789abcdef'
const IKE = 'aes128-sha256-ecp256'
const ESP = 'aes128gcm16-ecp256'
const { a, b } = ADDRESSES

const ours = (lab: Lab, version: 1 | 2, remote: string): string => `
host: { id: ${a.v4}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
tun: { name: sally0, addresses: [${a.inner4}/32] }
peers:
  strongswan:
    id: ${b.v4}
    local: ${a.v4}
    remote: ${remote}
    key_file: ${lab.path('k.psk')}
    dynamic_psk: off
    ike: { version: ${version}, proposals: [${IKE}], dpd: 2s }
    children:
      interop: { local: [${a.inner4}/32], remote: [${b.inner4}/32], proposals: [${ESP}] }
`

const theirs = (version: 1 | 2, remote: string): string => `
connections { interop {
  version = ${version}
  local_addrs = ${b.v4}
  remote_addrs = ${remote}
  mobike = no
  dpd_delay = 2s
  dpd_timeout = 30s
  proposals = ${IKE}
  local { auth = psk\n id = ${b.v4} }
  remote { auth = psk\n id = ${a.v4} }
  children { interop { local_ts = ${b.inner4}/32\n remote_ts = ${a.inner4}/32\n esp_proposals = ${ESP} } }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()} and a NAT`, () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let charon: Strongswan | undefined

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'router' })
    lab.exec('b', 'ip', 'address', 'add', `${b.inner4}/32`, 'dev', 'lo')
    lab.file('k.psk', `psk: ${SECRET}\n`)
  })

  afterEach(async () => {
    await gateway?.stop()
    await charon?.stop()
    gateway = undefined
    charon = undefined
    lab.close()
  })

  const ping = (side: Side, count: number): string => {
    const [from, to] = side === 'a' ? [a.inner4, b.inner4] : [b.inner4, a.inner4]
    const argv = ['ping', '-c', String(count), '-i', '0.2', '-W', '1', '-I', from, to]
    return spawnSync('ip', ['netns', 'exec', lab.namespace(side), ...argv], { encoding: 'utf8' }).stdout
  }

  const flows = (): void => {
    for (const side of ['a', 'b'] as const) expect(ping(side, 3)).toContain(' 0% packet loss')
  }

  const spi = (s: GatewayStatus): number | undefined =>
    s.peers[0]!.children[0]!.sas.findLast((sa) => sa.direction === 'outbound')?.spi

  test.each([
    [2, 'a'],
    [2, 'b'],
    [1, 'a'],
    [1, 'b'],
  ] as const)(
    'IKEv%i, %s is behind it: up, renewed by both, other ports',
    { timeout: 60_000 },
    async (version, hidden) => {
      const nat = new Nat(lab, hidden)
      charon = await Strongswan.start(
        lab.namespace('b'),
        lab.path('charon'),
        theirs(version, hidden === 'a' ? nat.address : a.v4),
      )
      gateway = await Gateway.start(lab, 'a', ours(lab, version, hidden === 'b' ? nat.address : b.v4))
      // The host behind the NAT begins: nobody else can. The first packet may be lost while the other end installs its SAs.
      if (hidden === 'b') charon.swanctl('--initiate', '--child', 'interop')
      ping('a', 1)
      flows()
      let status = await gateway.status()
      const { nat: found, local, remote } = status.peers[0]!.ike!.sas[0]!
      expect(found).toContain(hidden === 'a' ? 'we are behind one' : 'the peer is behind one')
      expect(hidden === 'a' ? remote : local).toMatch(/:4500$/)
      if (hidden === 'b') expect(remote).toMatch(/:201\d\d$|:200\d\d$/)

      const before = spi(status)
      charon.swanctl('--rekey', '--child', 'interop')
      status = await gateway.until('with another pair', (s) => spi(s) !== before)
      const second = spi(status)
      await gateway.rekey('interop')
      await gateway.until('with another pair', (s) => spi(s) !== second)
      if (version === 2) await gateway.rekeyIke('strongswan')
      flows()

      nat.rebind()
      // What the host outside sends is lost until the other one has been heard from its new port: at the next DPD at the latest.
      for (let i = 0; i < 20 && !ping('a', 1).includes(' 0% packet loss'); i++);
      flows()
      expect(charon.swanctl('--list-sas').match(/ESTABLISHED/g)).toHaveLength(1)
    },
  )
})
