import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { type IkedOptions, openikedConf, ROWS } from './openiked-rows.js'
import { missingOpeniked, Openiked, openikedVersion } from './peers/openiked.js'
import { agree, recordOf } from './recorded-tunnel.js'
import {
  ikeSas,
  ikeSpiOf,
  knock,
  nameOf,
  of,
  one,
  outerOf,
  type Row,
  type SallyportSettings,
  sallyport,
  spiOf,
  whole,
} from './tunnel.js'

// OpenIKED: IKEv2 with a pre-shared key. Its SAs are recorded, as the kernel here has no IPsec for it, and held against ours.

const missing = whyNoLab({ tun: true }) ?? missingOpeniked()
if (missing) console.log(`skipped, needs OpenIKED and network namespaces: ${missing}`)

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

  const start = async (
    row: Row,
    options: IkedOptions = {},
    ours: SallyportSettings = {},
  ): Promise<[Gateway, Openiked]> => {
    const sallyportFirst = async () => {
      gateway = await Gateway.start(lab, 'a', sallyport(lab, of(row), ours))
    }
    if (options.active) await sallyportFirst()
    iked = await openiked(row, options)
    if (!options.active) await sallyportFirst()
    return [gateway!, iked]
  }

  const openiked = (row: Row, options: IkedOptions = {}): Promise<Openiked> =>
    Openiked.start(lab.namespace('b'), lab.path('iked'), {
      conf: openikedConf(row, options),
      record: recordOf(lab),
      encapsulation: row.encapsulation === 'udp',
    })

  describe.each(ROWS.map((row) => [nameOf(of(row)), row] as const))('%s', (_, row) => {
    // That in UDP it has on port 4500 alone, where nobody begins who has not heard of it.
    test.skipIf(row.encapsulation === 'udp')('it responds', { timeout: 60_000 }, async () => {
      const [mine] = await start(row)
      knock(lab, of(row))
      await mine.until('up', whole)
      expect(await agree(lab, of(row))).toBe(2)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([{ version: 2, initiator: true }])
    })

    // As initiator it offers ciphers in AH, which has none (RFC 7296, section 3.3.3).
    test.skipIf(row.protocol === 'ah')('it initiates', { timeout: 60_000 }, async () => {
      const [mine] = await start(row, { active: true })
      await mine.until('up', whole)
      expect(await agree(lab, of(row))).toBe(2)
      expect((await mine.status()).peers[0]!.ike!.sas).toMatchObject([{ version: 2, initiator: false }])
    })
  })

  const ROW = ROWS[0]!
  const TUNNEL = of(ROW)

  test.each(['we', 'OpenIKED'])(
    'we renew CHILD_SA and IKE SA, %s have begun',
    { timeout: 60_000 },
    async (who) => {
      const [mine] = await start(ROW, { active: who === 'OpenIKED' })
      if (who === 'we') knock(lab, TUNNEL)
      const { peers } = await mine.until('up', whole)
      await mine.rekey('interop')
      await mine.until('renewed', (s) => spiOf(s) !== spiOf({ peers }))
      await mine.rekeyIke('other')
      await mine.until('renewed', (s) => ikeSpiOf(s) !== ikeSpiOf({ peers }))
      await mine.rekey('interop')
      await sleep(500)
      await mine.until('one pair', whole)
      expect(await agree(lab, TUNNEL)).toBe(6)
    },
  )

  test('it renews the IKE SA', { timeout: 60_000 }, async () => {
    const [mine] = await start(ROW, { active: true, connection: 'ikelifetime 5' })
    const { peers } = await mine.until('up', whole)
    await mine.until('renewed', (s) => one(s) && ikeSpiOf(s) !== ikeSpiOf({ peers }))
    await mine.rekey('interop')
    await mine.until('with another pair', (s) => spiOf(s) !== spiOf({ peers }))
    expect(await agree(lab, TUNNEL)).toBe(4)
  })

  // When its kernel says that they expire.
  test('it renews CHILD_SAs', { timeout: 60_000 }, async () => {
    const [mine] = await start(ROW, { active: true, connection: 'lifetime 6' })
    const first = await mine.until('up', whole)
    const second = await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
    await mine.until('with another pair', (s) => spiOf(s) !== spiOf(second))
    expect(await agree(lab, TUNNEL)).toBeGreaterThanOrEqual(6)
    expect(ikeSpiOf(await mine.status())).toBe(ikeSpiOf(first))
  })

  const established = (daemon: Openiked): number =>
    daemon.ikectl('show', 'sa').match(/iked_sas:.*ESTABLISHED/g)?.length ?? 0

  test('Deletes of either', { timeout: 60_000 }, async () => {
    const [mine, other] = await start(ROW)
    knock(lab, TUNNEL)
    await mine.until('up', whole)
    await mine.terminate('interop')
    await mine.until('without CHILD_SA', (s) => spiOf(s) === undefined)
    expect(established(other)).toBe(1)
    knock(lab, TUNNEL)
    await mine.until('up', whole)
    other.ikectl('reset', 'id', `IPV4/${outerOf(TUNNEL)[0]}`)
    await mine.until('without IKE SA', (s) => ikeSas(s) === 0)
    knock(lab, TUNNEL)
    await mine.until('up', whole)
    expect(established(other)).toBe(1)
    await mine.stop()
    for (let i = 0; i < 50 && established(other) > 0; i++) await sleep(100)
    expect(established(other)).toBe(0)
  })

  test('either is killed and comes back', { timeout: 90_000 }, async () => {
    const [mine, other] = await start(ROW)
    knock(lab, TUNNEL)
    await mine.until('up', whole)
    other.kill9()
    await mine.until('aware of it', (s) => ikeSas(s) === 0, 40_000)
    iked = await openiked(ROW, { settings: 'set enforcesingleikesa' })
    knock(lab, TUNNEL)
    await mine.until('up', whole)
    mine.kill9()
    gateway = await Gateway.start(lab, 'a', sallyport(lab, TUNNEL))
    knock(lab, TUNNEL)
    await gateway.until('up', whole)
    for (let i = 0; i < 50 && established(iked) > 1; i++) await sleep(200)
    expect(established(iked)).toBe(1)
  })

  test('another key', { timeout: 60_000 }, async () => {
    const [mine] = await start(ROW, {}, { secret: 'something-else-entirely' })
    knock(lab, TUNNEL)
    await mine.until('told', (s) => /AUTHENTICATION_FAILED/.test(s.peers[0]!.ike?.lastError ?? ''))
  })
})
