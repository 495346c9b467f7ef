import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { missingOpeniked, Openiked, openikedVersion } from './peers/openiked.js'
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

// OpenIKED: IKEv2 with a pre-shared key. Its SAs are recorded, as the kernel here has no IPsec for it, and held against ours.

const missing = whyNoLab({ tun: true }) ?? missingOpeniked()
if (missing) console.log(`skipped, needs OpenIKED and network namespaces: ${missing}`)

interface Row {
  /** As sallyport writes it, and as OpenIKED does. */
  readonly ike: readonly [string, string]
  readonly child: readonly [string, string]
  readonly protocol?: 'esp' | 'ah'
  readonly mode?: 'tunnel' | 'transport'
}

// Debian's build installs no AES-GCM, no HMAC-SHA2-256 and no extended sequence numbers on Linux.
const ROWS: readonly Row[] = [
  {
    ike: ['aes128-sha256-ecp256', 'auth hmac-sha2-256 enc aes-128 prf hmac-sha2-256 group ecp256'],
    child: ['aes128-sha1', 'auth hmac-sha1 enc aes-128'],
  },
  {
    ike: ['aes256-sha384-modp2048', 'auth hmac-sha2-384 enc aes-256 prf hmac-sha2-384 group modp2048'],
    child: ['aes192-sha384', 'auth hmac-sha2-384 enc aes-192'],
  },
  {
    ike: ['aes128gcm16-prfsha256-x25519', 'enc aes-128-gcm prf hmac-sha2-256 group curve25519'],
    child: ['aes256-sha1', 'auth hmac-sha1 enc aes-256'],
  },
  {
    ike: ['aes256gcm16-prfsha512-ecp521', 'enc aes-256-gcm prf hmac-sha2-512 group ecp521'],
    child: ['aes256-sha512', 'auth hmac-sha2-512 enc aes-256'],
    mode: 'transport',
  },
  {
    ike: ['aes128-sha1-ecp384', 'auth hmac-sha1 enc aes-128 prf hmac-sha1 group ecp384'],
    child: ['sha384', 'auth hmac-sha2-384'],
    protocol: 'ah',
  },
  {
    ike: ['aes192-sha512-modp3072', 'auth hmac-sha2-512 enc aes-192 prf hmac-sha2-512 group modp3072'],
    child: ['sha1', 'auth hmac-sha1'],
    protocol: 'ah',
    mode: 'transport',
  },
  {
    ike: ['aes256-sha1-modp4096', 'auth hmac-sha1 enc aes-256 prf hmac-sha1 group modp4096'],
    child: ['aes128ctr-sha384', 'auth hmac-sha2-384 enc aes-128-ctr'],
  },
]

const of = (row: Row): Tunnel => ({ ...row, version: 2, ike: row.ike[0], child: row.child[0] })

const confOf = (
  { ike, child, protocol = 'esp', mode = 'tunnel' }: Row,
  active: boolean,
  more = '',
): string => {
  const [us, them] = HOSTS[mode]
  return (
    `ikev2 "interop" ${active ? 'active' : 'passive'} ${mode} ${protocol} from ${them} to ${us} ` +
    `local ${HOSTS.outer[1]} peer ${HOSTS.outer[0]} ikesa ${ike[1]} childsa ${child[1]} ` +
    `srcid ${HOSTS.outer[1]} dstid ${HOSTS.outer[0]} ${more} psk "${SECRET}"\n`
  )
}

describe.skipIf(missing !== undefined)(`OpenIKED ${missing ? '' : openikedVersion()}, IKEv2`, () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let iked: Openiked | undefined

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'cable' })
  })

  afterEach(async () => {
    await gateway?.stop()
    await iked?.stop()
    gateway = undefined
    iked = undefined
    lab.close()
  })

  /** @param more of its connection */
  const start = async (row: Row, active: boolean, more = ''): Promise<[Gateway, Openiked]> => {
    const sallyportFirst = async () => {
      gateway = await Gateway.start(lab, 'a', sallyport(lab, of(row)))
    }
    if (active) await sallyportFirst()
    iked = await Openiked.start(
      lab.namespace('b'),
      lab.path('iked'),
      confOf(row, active, more),
      lab.path('sadb'),
    )
    if (!active) await sallyportFirst()
    return [gateway!, iked]
  }

  describe.each(ROWS.map((row) => [nameOf(of(row)), row] as const))('%s', (_, row) => {
    test('it responds', { timeout: 60_000 }, async () => {
      const [mine] = await start(row, false)
      knock(lab, row.mode)
      await mine.until('up', (s) => s.peers[0]!.children[0]!.sas.length === 2)
      await agree(lab, of(row))
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([{ version: 2, initiator: true }])
    })

    // As initiator it offers ciphers in AH, which has none (RFC 7296, section 3.3.3).
    test.skipIf(row.protocol === 'ah')('it initiates', { timeout: 60_000 }, async () => {
      const [mine] = await start(row, true)
      await mine.until('up', (s) => s.peers[0]!.children[0]!.sas.length === 2)
      await agree(lab, of(row))
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([{ version: 2, initiator: false }])
    })
  })

  const ROW = ROWS[0]!

  test.each([true, false])(
    'we renew CHILD_SA and IKE SA, it has begun: %s',
    { timeout: 60_000 },
    async (active) => {
      const [mine] = await start(ROW, active)
      if (!active) knock(lab, ROW.mode)
      const { peers } = await mine.until('up', whole)
      await mine.rekey('interop')
      await mine.until('renewed', (s) => spiOf(s) !== spiOf({ peers }))
      await mine.rekeyIke('other')
      await mine.until('renewed', (s) => ikeSpiOf(s) !== ikeSpiOf({ peers }))
      await mine.rekey('interop')
      await sleep(500)
      await mine.until('one pair', whole)
      expect(await agree(lab, of(ROW))).toBe(6)
    },
  )

  // CHILD_SAs it would renew when the kernel says that they expire, which this one does not.
  test('it renews the IKE SA', { timeout: 60_000 }, async () => {
    const [mine] = await start(ROW, true, 'ikelifetime 5')
    const { peers } = await mine.until('up', whole)
    await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
    await mine.rekey('interop')
    await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
    expect(await agree(lab, of(ROW))).toBe(4)
  })

  test('Deletes of either', { timeout: 60_000 }, async () => {
    const [mine, iked] = await start(ROW, false)
    knock(lab, ROW.mode)
    await mine.until('up', whole)
    iked.ikectl('reset', 'id', `IPV4/${HOSTS.outer[0]}`)
    await mine.until('without IKE SA', (s) => s.peers[0]!.ike!.sas.length === 0)
    knock(lab, ROW.mode)
    await mine.until('up', whole)
    expect(iked.ikectl('show', 'sa')).toContain('ESTABLISHED')
    await mine.stop()
    await sleep(500)
    expect(iked.ikectl('show', 'sa')).not.toContain('ESTABLISHED')
  })

  test('either is killed and comes back', { timeout: 90_000 }, async () => {
    const [mine, other] = await start(ROW, false)
    knock(lab, ROW.mode)
    await mine.until('up', whole)
    other.kill9()
    await mine.until('aware of it', (s) => s.peers[0]!.ike!.sas.length === 0, 40_000)
    const conf = `set enforcesingleikesa\n${confOf(ROW, false)}`
    iked = await Openiked.start(lab.namespace('b'), lab.path('iked'), conf, lab.path('sadb'))
    knock(lab, ROW.mode)
    await mine.until('up', whole)
    mine.kill9()
    gateway = await Gateway.start(lab, 'a', sallyport(lab, of(ROW)))
    knock(lab, ROW.mode)
    await gateway.until('up', whole)
    for (let i = 0; i < 50 && established(iked) > 1; i++) await sleep(200)
    expect(established(iked)).toBe(1)
  })

  const established = (daemon: Openiked): number =>
    daemon.ikectl('show', 'sa').match(/iked_sas:.*ESTABLISHED/g)?.length ?? 0

  test('another key', { timeout: 60_000 }, async () => {
    const [mine] = await start(ROW, false)
    await mine.stop()
    const config = sallyport(lab, of(ROW))
    lab.file('k.psk', 'psk: something-else-entirely\n')
    gateway = await Gateway.start(lab, 'a', config)
    knock(lab, ROW.mode)
    await gateway.until('told', (s) => /AUTHENTICATION_FAILED/.test(s.peers[0]!.ike?.lastError ?? ''))
  })
})
