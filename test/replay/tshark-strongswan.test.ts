import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { beginHalfOpen } from '../interop/half-open.js'
import { missingStrongswan, Strongswan } from '../interop/peers/strongswan.js'
import { type StrongswanSettings, swanctlConf } from '../interop/strongswan-tunnel.js'
import {
  addInnerAddresses,
  childrenOf,
  pingArguments,
  type SallyportSettings,
  sallyport,
  type Tunnel,
} from '../interop/tunnel.js'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { Dissected, live } from './tshark-exchanges.js'

// Every exchange with strongSwan, and what either end refuses, as tshark reads it with our key log.

const why = whyNoLab({ tun: true, programs: ['tshark'] }) ?? missingStrongswan()
if (why) console.log(`exchanges with strongSwan read by tshark: ${why}`)

const tunnel = (version: 1 | 2, ike: string): Tunnel => ({
  ...{ version, ike },
  ...{ child: 'aes128gcm16-x25519', encapsulation: 'udp' },
})

describe.skipIf(why !== undefined)('exchanges with strongSwan, read by tshark with the key log', () => {
  let lab: Lab
  let gateway: Gateway | undefined
  let charon: Strongswan | undefined

  const stop = async (): Promise<void> => {
    await gateway?.stop()
    await charon?.stop()
    gateway = undefined
    charon = undefined
  }

  beforeEach(async () => {
    lab = await Lab.create()
    await lab.wire.watch({ capture: lab.path('wire.pcapng') })
  })
  afterEach(async () => {
    await stop()
    lab.close()
  })

  async function strongswan(t: Tunnel, settings: StrongswanSettings = {}): Promise<Strongswan> {
    addInnerAddresses(lab, t)
    charon = await Strongswan.start(
      lab.namespace('b'),
      lab.path('charon'),
      swanctlConf(t, { connection: 'fragmentation = yes', ...settings }),
      settings,
    )
    return charon
  }

  async function ours(t: Tunnel, settings: SallyportSettings = {}): Promise<Gateway> {
    gateway = await Gateway.start(lab, 'a', sallyport(lab, t, { ...settings, ike: { dpd: '1s' } }))
    return gateway
  }

  const knock = (t: Tunnel): void => {
    const argv = pingArguments('a', childrenOf(t)[0]!, { count: 1 })
    spawnSync('ip', ['netns', 'exec', lab.namespace('a'), ...argv])
  }

  test.each([
    [2, 'aes128-sha256-modp2048', 'we', 'fragment_size = 300'],
    [2, 'aes256gcm16-prfsha384-ecp384', 'strongSwan', ''],
    [1, 'aes128-sha256-modp2048', 'strongSwan', ''],
    [1, 'aes256-sha512-ecp521', 'we', 'fragment_size = 300'],
  ] as const)('IKEv%i %s, %s begin %s', { timeout: 60_000 }, async (version, ike, who, settings) => {
    const t = tunnel(version, ike)
    const swan = await strongswan(t, { settings })
    const mine = await ours(t)
    if (who === 'we') knock(t)
    else swan.swanctl('--initiate', '--child', 'interop')
    await live(lab, mine, 'other', stop)
    new Dissected(lab).expectLife(version, settings !== '')
  })

  test('COOKIE', { timeout: 60_000 }, async () => {
    const t = tunnel(2, 'aes128gcm16-prfsha256-ecp256')
    await strongswan(t, { settings: 'cookie_threshold = 1' })
    beginHalfOpen(lab, t)
    await live(lab, await begin(t), 'other', stop)
    const dissected = new Dissected(lab)
    dissected.expectLife(2)
    expect(dissected.notifications()).toContain(16_390)
  })

  test('INVALID_KE_PAYLOAD', { timeout: 60_000 }, async () => {
    const t = tunnel(2, 'aes128-sha256-x25519, aes128-sha256-modp2048')
    await strongswan(t, { ike: 'aes128-sha256-modp2048' })
    await live(lab, await begin(t), 'other', stop)
    const dissected = new Dissected(lab)
    dissected.expectLife(2)
    expect(dissected.notifications()).toContain(17)
  })

  const begin = async (t: Tunnel, settings: SallyportSettings = {}): Promise<Gateway> => {
    const mine = await ours(t, settings)
    knock(t)
    return mine
  }

  test.each([
    ['NO_PROPOSAL_CHOSEN of an IKE SA', 14, { ike: 'aes256-sha512-modp3072' }, {}],
    ['NO_PROPOSAL_CHOSEN of a CHILD_SA', 14, { child: 'aes256-sha512' }, {}],
    ['TS_UNACCEPTABLE', 38, { remoteTs: '10.99.0.0/24' }, {}],
    ['AUTHENTICATION_FAILED', 24, {}, { secret: 'something-else-entirely' }],
  ] as const)('%s, by either end', { timeout: 60_000 }, async (_, type, theirs, mine) => {
    const t = tunnel(2, 'aes128gcm16-prfsha256-ecp256')
    const swan = await strongswan(t, theirs)
    await begin(t, mine)
    expect(() => swan.swanctl('--initiate', '--child', 'interop', '--timeout', '5')).toThrow()
    await stop()
    await lab.wire.watch()
    const dissected = new Dissected(lab)
    dissected.expectClean()
    expect(dissected.notifications()).toContain(type)
  })
})
