import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { missingRecorder } from './peers/recorded-sas.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { agree, recordOf } from './recorded-tunnel.js'
import { strongswanLab } from './strongswan-tunnel.js'
import { type Family, ikeSas, knock, nameOf, spiOf, type Tunnel, whole } from './tunnel.js'

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
  { child: 'sha512', protocol: 'ah' },
  { child: 'sha1', protocol: 'ah' },
  { child: 'sha1', protocol: 'ah', mode: 'transport' },
  { child: 'aesxcbc', protocol: 'ah' },
  { child: 'aesxcbc', protocol: 'ah', mode: 'transport' },
  { child: 'aescmac', protocol: 'ah', versions: [2] },
]

/** Each child goes over one family in one version, and over the other one in the other. */
const familyOf = (index: number, version: 1 | 2): Family => ((index + version) % 2 === 0 ? 4 : 6)

const ROWS: readonly Tunnel[] = ([2, 1] as const).flatMap((version) =>
  CHILDREN.flatMap(({ versions = [1, 2], ...child }, index) =>
    versions.includes(version) ? { ...child, version, ike: IKE, outer: familyOf(index, version) } : [],
  ),
)

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, its SAs`, () => {
  const lab = strongswanLab()

  test.each(ROWS.map((row) => [nameOf(row), row] as const))(
    '%s: either end initiates and renews',
    { timeout: 60_000 },
    async (_, row) => {
      const [mine, swan] = await lab.start(row, { backend: { record: recordOf(lab.lab) } })
      knock(lab.lab, row)
      const first = await mine.until('up', whole)
      swan.swanctl('--rekey', '--child', 'interop')
      const status = await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
      expect(await agree(lab.lab, row)).toBe(4)
      expect(status.peers[0]!.ike!.sas).toMatchObject([{ version: row.version, initiator: true }])
      swan.swanctl('--terminate', '--ike', 'interop')
      await mine.until('ended', (s) => ikeSas(s) === 0)
      swan.swanctl('--initiate', '--child', 'interop')
      const again = await mine.until('up', whole)
      await mine.rekey('interop')
      await mine.until('with another pair', (s) => spiOf(s) !== spiOf(again))
      expect(await agree(lab.lab, row)).toBe(8)
      expect(again.peers[0]!.ike!.sas).toMatchObject([{ version: row.version, initiator: false }])
    },
  )
})
