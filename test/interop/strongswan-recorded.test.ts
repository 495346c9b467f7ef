import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingRecorder } from './peers/recorded-sas.js'
import { missingStrongswan, Strongswan, strongswanVersion } from './peers/strongswan.js'
import {
  agree,
  HOSTS,
  knock,
  nameOf,
  SECRET,
  sallyport,
  spiOf,
  type Tunnel,
  whole,
} from './recorded-tunnel.js'

// What strongSwan's userspace backend cannot carry: AH, transport mode, raw ESP, extended sequence numbers. Its SAs for a kernel
// are recorded, and held against ours.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan() ?? missingRecorder()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const IKE = 'aes128-sha256-ecp256'

const CHILDREN: readonly (Omit<Tunnel, 'version' | 'ike'> & { readonly versions?: readonly (1 | 2)[] })[] = [
  { child: 'aes128gcm16-ecp256' },
  { child: 'aes256gcm16-esn' },
  { child: 'aes128-sha256', mode: 'transport' },
  { child: 'aes128gcm16', mode: 'transport', encapsulation: 'udp' },
  { child: 'aes128gmac' },
  { child: 'aes128ccm8' },
  { child: 'null-sha256', mode: 'transport' },
  { child: 'sha256-ecp256', protocol: 'ah' },
  { child: 'sha256', protocol: 'ah', mode: 'transport' },
  { child: 'sha512', protocol: 'ah', mode: 'transport' },
  { child: 'sha1', protocol: 'ah' },
  { child: 'aesxcbc', protocol: 'ah' },
  { child: 'aescmac', protocol: 'ah', versions: [2] },
]

const ROWS: readonly Tunnel[] = ([2, 1] as const).flatMap((version) =>
  CHILDREN.filter((c) => c.versions?.includes(version) ?? true).map(({ versions: _, ...c }) => ({
    ...c,
    version,
    ike: IKE,
  })),
)

const theirs = ({
  version,
  ike,
  child,
  protocol = 'esp',
  mode = 'tunnel',
  encapsulation,
}: Tunnel): string => {
  const [us, them] = HOSTS[mode]
  return `
connections { interop {
  version = ${version}
  local_addrs = ${HOSTS.outer[1]}
  remote_addrs = ${HOSTS.outer[0]}
  encap = ${encapsulation === 'udp' ? 'yes' : 'no'}
  proposals = ${ike}
  local { auth = psk\n id = ${HOSTS.outer[1]} }
  remote { auth = psk\n id = ${HOSTS.outer[0]} }
  children { interop {
    local_ts = ${them}/32\n remote_ts = ${us}/32\n mode = ${mode}\n ${protocol}_proposals = ${child}
  } }
} }
secrets { ike-1 { secret = "${SECRET}" } }
`
}

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, its SAs`, () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let charon: Strongswan | undefined

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'cable' })
  })

  afterEach(async () => {
    await gateway?.stop()
    await charon?.stop()
    gateway = undefined
    charon = undefined
    lab.close()
  })

  test.each(ROWS.map((row) => [nameOf(row), row] as const))(
    '%s: either end initiates and renews',
    { timeout: 60_000 },
    async (_, row) => {
      charon = await Strongswan.start(lab.namespace('b'), lab.path('charon'), theirs(row), {
        backend: { record: lab.path('sadb') },
      })
      gateway = await Gateway.start(lab, 'a', sallyport(lab, row))
      knock(lab, row.mode)
      let status = await gateway.until('up', whole)
      charon.swanctl('--rekey', '--child', 'interop')
      const before = spiOf(status)
      status = await gateway.until('with another pair', (s) => spiOf(s) !== before)
      expect(await agree(lab, row)).toBe(4)
      expect(status.peers[0]!.ike!.sas).toMatchObject([{ version: row.version, initiator: true }])
      charon.swanctl('--terminate', '--ike', 'interop')
      await gateway.until('ended', (s) => s.peers[0]!.ike!.sas.length === 0)
      charon.swanctl('--initiate', '--child', 'interop')
      status = await gateway.until('up', whole)
      expect(await agree(lab, row)).toBe(6)
      expect(status.peers[0]!.ike!.sas).toMatchObject([{ version: row.version, initiator: false }])
    },
  )
})
