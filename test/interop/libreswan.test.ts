import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { Libreswan, libreswanVersion, missingLibreswan } from './peers/libreswan.js'
import {
  agree,
  HOSTS,
  ikeSpiOf,
  knock,
  nameOf,
  one,
  SECRET,
  sallyport,
  spiOf,
  type Tunnel,
  whole,
} from './recorded-tunnel.js'

// libreswan: both versions with a pre-shared key. Its SAs are recorded, as the kernel here has no IPsec for it, and held against
// ours.

const missing = whyNoLab({ tun: true }) ?? missingLibreswan()
if (missing) console.log(`skipped, needs libreswan and network namespaces: ${missing}`)

interface Row {
  readonly version: 1 | 2
  /** As sallyport writes it, and as libreswan does. */
  readonly ike: readonly [string, string]
  readonly child: readonly [string, string]
  readonly protocol?: 'esp' | 'ah'
  readonly mode?: 'tunnel' | 'transport'
  readonly encapsulation?: 'udp' | 'raw'
}

const ROWS: readonly Row[] = [
  {
    version: 2,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
  },
  {
    version: 2,
    ike: ['aes256gcm16-prfsha384-ecp384', 'aes_gcm256-sha2_384-dh20'],
    child: ['aes256gcm16-esn', 'aes_gcm256'],
    encapsulation: 'udp',
  },
  {
    version: 2,
    ike: ['chacha20poly1305-prfsha256-x25519', 'chacha20_poly1305-sha2_256-dh31'],
    child: ['chacha20poly1305', 'chacha20_poly1305'],
  },
  {
    version: 2,
    ike: ['aes128gcm16-prfsha512-ecp521', 'aes_gcm128-sha2_512-dh21'],
    child: ['aes128ccm16', 'aes_ccm128'],
    mode: 'transport',
  },
  {
    version: 2,
    ike: ['aes256-sha512-modp2048', 'aes256-sha2_512-dh14'],
    child: ['sha256', 'sha2_256'],
    protocol: 'ah',
  },
  {
    version: 2,
    ike: ['aes192-sha1-modp4096', 'aes192-sha1-dh16'],
    child: ['aes256-sha512', 'aes256-sha2_512'],
  },
  {
    version: 1,
    ike: ['aes128-sha256-modp2048', 'aes128-sha2_256-dh14'],
    child: ['aes128-sha256-modp2048', 'aes128-sha2_256-dh14'],
  },
  {
    version: 1,
    ike: ['aes256-sha512-modp3072', 'aes256-sha2_512-dh15'],
    child: ['aes256gcm16', 'aes_gcm256'],
    encapsulation: 'udp',
  },
  {
    version: 1,
    ike: ['aes128-sha1-ecp256', 'aes128-sha1-dh19'],
    child: ['aes128-sha1', 'aes128-sha1'],
    mode: 'transport',
  },
  {
    version: 1,
    ike: ['aes192-sha384-modp4096', 'aes192-sha2_384-dh16'],
    child: ['sha256', 'sha2_256'],
    protocol: 'ah',
    mode: 'transport',
  },
]

const of = (row: Row): Tunnel => ({ ...row, ike: row.ike[0], child: row.child[0] })

const confOf = (row: Row, more = ''): string => {
  const { version, ike, child, protocol = 'esp', mode = 'tunnel', encapsulation = 'raw' } = row
  const [us, them] = HOSTS[mode]
  const subnets = mode === 'tunnel' ? `  leftsubnet=${them}/32\n  rightsubnet=${us}/32\n` : ''
  const pfs = child[1].includes('dh') ? 'yes' : 'no'
  return `conn interop
  left=${HOSTS.outer[1]}
  leftid=${HOSTS.outer[1]}
  right=${HOSTS.outer[0]}
  rightid=${HOSTS.outer[0]}
${subnets}  type=${mode}
  authby=secret
  ikev2=${version === 2 ? 'insist' : 'no'}
  ike=${ike[1]}
  phase2=${protocol}
  phase2alg=${child[1]}
  pfs=${pfs}
  encapsulation=${encapsulation === 'udp' ? 'yes' : 'auto'}
  leftupdown=/bin/true
  auto=add
${more}`
}

describe.skipIf(missing !== undefined)(`libreswan ${missing ? '' : libreswanVersion()}`, () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let pluto: Libreswan | undefined

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'cable' })
  })

  afterEach(async () => {
    await gateway?.stop()
    await pluto?.stop()
    gateway = undefined
    pluto = undefined
    lab.close()
  })

  const start = async (row: Row, more = ''): Promise<[Gateway, Libreswan]> => {
    pluto = await libreswan(row, more)
    gateway = await Gateway.start(lab, 'a', sallyport(lab, of(row)))
    return [gateway, pluto]
  }

  const libreswan = (row: Row, more = ''): Promise<Libreswan> =>
    Libreswan.start(lab.namespace('b'), lab.path('pluto'), confOf(row, more), SECRET, lab.path('sadb'))

  test.each(ROWS.map((row) => [nameOf(of(row)), row] as const))(
    '%s: either end initiates',
    { timeout: 60_000 },
    async (_, row) => {
      const [mine, other] = await start(row)
      knock(lab, row.mode)
      await mine.until('up', whole)
      expect(await agree(lab, of(row))).toBe(2)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([
        { version: row.version, initiator: true },
      ])
      other.whack('--terminate', '--name', 'interop')
      await mine.until('ended', (s) => s.peers[0]!.ike!.sas.length === 0)
      other.whack('--initiate', '--name', 'interop')
      await mine.until('up', whole)
      expect(await agree(lab, of(row))).toBe(4)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([
        { version: row.version, initiator: false },
      ])
    },
  )

  describe.each([ROWS[0]!, ROWS[6]!])('IKEv$version', (row) => {
    test('we renew both', { timeout: 60_000 }, async () => {
      const [mine] = await start(row)
      knock(lab, row.mode)
      const { peers } = await mine.until('up', whole)
      await mine.rekey('interop')
      await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
      await mine.rekeyIke('other')
      await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
      const second = spiOf(await mine.status())
      await mine.rekey('interop')
      await mine.until('with another pair', (s) => spiOf(s) !== second)
      expect(await agree(lab, of(row))).toBeGreaterThanOrEqual(6)
    })

    test('it renews both', { timeout: 60_000 }, async () => {
      // With IKEv1 it does so at the end of their lives alone.
      const lives = '  ikelifetime=16s\n  salifetime=12s\n  rekeymargin=6s\n  rekeyfuzz=0%\n'
      const [mine, other] = await start(row, row.version === 1 ? lives : '')
      other.whack('--initiate', '--name', 'interop')
      const { peers } = await mine.until('up', whole)
      if (row.version === 2) other.whack('--rekey-ipsec', '--name', 'interop')
      await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
      if (row.version === 2) other.whack('--rekey-ike', '--name', 'interop')
      await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
      expect(await agree(lab, of(row))).toBeGreaterThanOrEqual(4)
    })

    test('our Delete when we go down', { timeout: 60_000 }, async () => {
      const [mine, other] = await start(row)
      knock(lab, row.mode)
      await mine.until('up', whole)
      expect(other.whack('--showstates')).toContain('established')
      await mine.stop()
      await sleep(500)
      expect(other.whack('--showstates')).not.toContain('established')
    })

    test('either is killed and comes back', { timeout: 90_000 }, async () => {
      const [mine, other] = await start(row)
      knock(lab, row.mode)
      await mine.until('up', whole)
      other.kill9()
      await mine.until('aware of it', (s) => s.peers[0]!.ike!.sas.length === 0, 40_000)
      pluto = await libreswan(
        row,
        '  dpddelay=2\n  dpdtimeout=6\n  dpdaction=clear\n  retransmit-timeout=5s\n',
      )
      knock(lab, row.mode)
      await mine.until('up', whole)
      mine.kill9()
      for (let i = 0; i < 150 && pluto.whack('--showstates').includes('established'); i++) await sleep(200)
      expect(pluto.whack('--showstates')).not.toContain('established')
      gateway = await Gateway.start(lab, 'a', sallyport(lab, of(row)))
      knock(lab, row.mode)
      await gateway.until('up', whole)
    })

    test('another key', { timeout: 60_000 }, async () => {
      const [mine, other] = await start(row)
      await mine.stop()
      const config = sallyport(lab, of(row))
      lab.file('k.psk', 'psk: something-else-entirely\n')
      gateway = await Gateway.start(lab, 'a', config)
      knock(lab, row.mode)
      await gateway.until('told', (s) => s.peers[0]!.ike?.lastError !== undefined, 40_000)
      expect(other.whack('--showstates')).not.toContain('established')
      expect(spiOf(await gateway.status())).toBeUndefined()
    })
  })
})
