import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { Nat } from '../lab/nat.js'
import { whyNoLab } from '../lab/requirements.js'
import { ROWS as LIBRESWAN, libreswanConf } from './libreswan-tunnel.js'
import { ROWS as OPENIKED, openikedConf } from './openiked-rows.js'
import { Libreswan, libreswanVersion, missingLibreswan } from './peers/libreswan.js'
import { missingOpeniked, Openiked, openikedVersion } from './peers/openiked.js'
import { agree, recordOf } from './recorded-tunnel.js'
import { ikeSas, ikeSpiOf, knock, of, type Row, SECRET, sallyport, spiOf, whole } from './tunnel.js'

// A real NAT between sallyport (host a) and libreswan or OpenIKED (host b), with either behind it. No packets flow: the SAs of
// the other end are recorded, and held against ours.

const noLab = whyNoLab({ tun: true, programs: ['nft'] })
const noLibreswan = noLab ?? missingLibreswan()
const noOpeniked = noLab ?? missingOpeniked()

const { a, b } = ADDRESSES

/** Whoever is outside does not know the address of the one behind the NAT. */
const natted = (row: Row): Row => ({ ...row, encapsulation: 'auto', outer: 4, mode: 'tunnel' })

describe.each(['a', 'b'] as const)('%s is behind a NAT', (hidden) => {
  let lab: Lab
  let nat: Nat
  let ends: { stop(): Promise<unknown> }[] = []

  beforeEach(async () => {
    lab = await Lab.create({ wire: 'router' })
    nat = new Nat(lab, hidden)
  })
  afterEach(async () => {
    for (const end of ends) await end.stop()
    ends = []
    lab.close()
  })

  const start = async (row: Row): Promise<Gateway> => {
    const peer = { remote: hidden === 'b' ? nat.address : b.v4 }
    const gateway = await Gateway.start(lab, 'a', sallyport(lab, of(row), { peer }))
    ends.push(gateway)
    return gateway
  }
  const remote = (): string => (hidden === 'a' ? nat.address : a.v4)

  /** Up; our NAT is theirs; both SAs are renewed by us. */
  const live = async (mine: Gateway, row: Row): Promise<void> => {
    const first = await mine.until('up', whole, 30_000)
    expect(first.peers[0]!.ike!.sas[0]!.nat).toContain(
      hidden === 'a' ? 'we are behind one' : 'the peer is behind one',
    )
    await mine.rekey('interop')
    await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
    await mine.rekeyIke('other')
    await mine.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
    expect(await agree(lab, of(row), true)).toBeGreaterThanOrEqual(4)
  }

  test
    .skipIf(noLibreswan !== undefined)
    .each([2, 1].map((version) => LIBRESWAN.find((row) => row.version === version)!))(
    `libreswan ${noLibreswan ? '' : libreswanVersion()}, IKEv$version`,
    { timeout: 90_000 },
    async (first) => {
      const row = natted(first)
      const pluto = await Libreswan.start(lab.namespace('b'), lab.path('pluto'), {
        connections: libreswanConf(row, { remote: remote() }),
        secrets: [`%any : PSK "${SECRET}"`],
        record: recordOf(lab),
      })
      ends.push(pluto)
      const mine = await start(row)
      if (hidden === 'a') knock(lab, of(row))
      else pluto.whack('--initiate', '--name', 'interop')
      await live(mine, row)
      pluto.whack('--terminate', '--name', 'interop')
      await mine.until('ended', (s) => ikeSas(s) === 0)
    },
  )

  test.skipIf(noOpeniked !== undefined)(
    `OpenIKED ${noOpeniked ? '' : openikedVersion()}`,
    { timeout: 90_000 },
    async () => {
      const row = natted(OPENIKED[0]!)
      const openiked = async (): Promise<void> => {
        const conf = openikedConf(row, { active: hidden === 'b', remote: remote() })
        ends.push(await Openiked.start(lab.namespace('b'), lab.path('iked'), { conf, record: recordOf(lab) }))
      }
      if (hidden === 'a') await openiked()
      const mine = await start(row)
      if (hidden === 'b') await openiked()
      else knock(lab, of(row))
      await live(mine, row)
    },
  )
})
