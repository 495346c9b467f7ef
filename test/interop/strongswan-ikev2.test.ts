import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { whyNoLab } from '../lab/requirements.js'
import { beginHalfOpen } from './half-open.js'
import { missingStrongswan, strongswanVersion } from './peers/strongswan.js'
import { childrenMade, strongswanLab } from './strongswan-tunnel.js'
import { childrenOf, ikeSas, ikeSpiOf, spiOf, type Tunnel } from './tunnel.js'

// Algorithms, and what the first exchanges have beside them. Renewals, Deletes and crashes: strongswan-life.test.ts.

const missing = whyNoLab({ tun: true }) ?? missingStrongswan()
if (missing) console.log(`skipped, needs strongSwan and network namespaces: ${missing}`)

const tunnel = (ike: string, child: string): Tunnel => ({ version: 2, ike, child, encapsulation: 'udp' })

const IKE = 'aes128gcm16-prfsha256-ecp256'
const PFS = 'aes128gcm16-x25519'
const TUNNEL = tunnel(IKE, PFS)

describe.skipIf(missing !== undefined)(`strongSwan ${missing ? '' : strongswanVersion()}, IKEv2`, () => {
  const lab = strongswanLab()

  const proposals: [string, string][] = [
    ['aes128-sha256-modp2048', 'aes128-sha256'],
    ['aes256-sha384-ecp384', 'aes256-sha512'],
    ['aes128-sha1-modp3072', 'aes128gcm16'],
    ['aes192-sha512-x25519', 'aes256gcm16'],
    ['aes128gcm16-prfsha256-ecp256', 'chacha20poly1305'],
    ['aes256gcm16-prfsha512-ecp521', 'aes128-sha1'],
    ['chacha20poly1305-prfsha384-modp4096', 'aes128ctr-sha256'],
    ['aes128ccm8-prfsha256-x25519', 'aes128ccm16'],
    ['aes256ccm8-prfsha256-ecp256', 'aes256ccm8'],
    ['aes128ctr-aesxcbc-prfaesxcbc-ecp256', 'aes128-aesxcbc'],
    ['aes128-aescmac-prfaescmac-x25519', 'aes256-sha384'],
    ['aes128gcm16-prfsha256-x25519', 'null-sha256'],
    ['aes256gcm16-prfsha384-x25519', 'aes128ccm8'],
  ]

  test.each(proposals)('either end initiates, %s, %s', { timeout: 60_000 }, async (ike, child) => {
    const t = tunnel(ike, child)
    const [mine, swan] = await lab.start(t)
    swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(t)
    swan.swanctl('--terminate', '--ike', 'interop')
    await mine.until('ended', (s) => ikeSas(s) === 0)
    await lab.flows(t)
    expect((await mine.status()).peers[0]!.ike!.sas.map((sa) => sa.initiator)).toEqual([true])
  })

  test.each(['we', 'strongSwan'])('fragments, %s initiate and rekey', { timeout: 60_000 }, async (who) => {
    const t = tunnel('aes128-sha256-modp2048', 'aes128gcm16-modp2048')
    const [mine, swan] = await lab.start(
      t,
      { connection: 'fragmentation = force', settings: 'fragment_size = 300' },
      { ike: { fragment_size: 300 } },
    )
    if (who === 'strongSwan') swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(t)
    const first = await mine.status()
    // IKE_AUTH, then requests and responses with a public value of 256 octets.
    if (who === 'strongSwan') {
      swan.swanctl('--rekey', '--child', 'interop')
      await mine.until('with another pair', (s) => spiOf(s) !== spiOf(first))
      swan.swanctl('--rekey', '--ike', 'interop')
    } else await mine.rekeyIke('other')
    await mine.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
    await lab.flows(t)
    const log = swan.log()
    expect(log.match(/received fragment #\d of \d/g)?.length).toBeGreaterThanOrEqual(2)
    expect(log.match(/splitting IKE message/g)?.length).toBeGreaterThanOrEqual(1)
    expect(log).not.toContain('retransmit')
    expect(mine.log()).toContain('IKE SA renewed')
    expect(mine.log()).not.toContain('malformed')
  })

  test('strongSwan wants another group first: INVALID_KE_PAYLOAD', { timeout: 60_000 }, async () => {
    const t = tunnel('aes128-sha256-x25519, aes128-sha256-modp2048', 'aes128gcm16')
    const [, swan] = await lab.start(t, { ike: 'aes128-sha256-modp2048' })
    await lab.flows(t)
    expect(swan.log()).toContain('INVAL_KE')
  })

  test('we want another group first, as responder', { timeout: 60_000 }, async () => {
    const t = tunnel('aes128-sha256-modp3072', 'aes128gcm16-modp2048')
    const [mine, swan] = await lab.start(t, {
      ike: 'aes128-sha256-x25519-modp3072',
      child: 'aes128gcm16-x25519-modp2048',
    })
    swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(t)
    const before = spiOf(await mine.status())
    swan.swanctl('--rekey', '--child', 'interop')
    await mine.until('with another pair', (s) => spiOf(s) !== before)
    await lab.flows(t)
    expect(childrenMade(mine.log())).toBe(2)
  })

  test('cookies of strongSwan', { timeout: 60_000 }, async () => {
    const swan = await lab.strongswan(TUNNEL, { settings: 'cookie_threshold = 1' })
    // One exchange half open is enough.
    beginHalfOpen(lab.lab, TUNNEL)
    await lab.sallyport(TUNNEL)
    await lab.flows(TUNNEL)
    expect(swan.log()).toContain('COOKIE')
  })

  test('selectors are narrowed', { timeout: 60_000 }, async () => {
    const [, swan] = await lab.start(TUNNEL, { remoteTs: '10.0.0.0/8' })
    swan.swanctl('--initiate', '--child', 'interop')
    await lab.flows(TUNNEL)
    expect(swan.swanctl('--list-sas')).toContain(`remote ${childrenOf(TUNNEL)[0]!.hosts[0]}/32`)
  })

  test('another key: neither side has an SA, and our log names the cause', { timeout: 60_000 }, async () => {
    const [mine, swan] = await lab.start(TUNNEL, {}, { secret: 'something-else-entirely' })
    await lab.ping('a', childrenOf(TUNNEL)[0]!, { count: 1 })
    await mine.until('told', (s) => /AUTHENTICATION_FAILED/.test(s.peers[0]!.ike?.lastError ?? ''))
    // With strongSwan as initiator we are the ones who find out.
    expect(() => swan.swanctl('--initiate', '--child', 'interop', '--timeout', '5')).toThrow()
    await mine.untilLogged("the peer's pre-shared key differs from ours")
    await sleep(200)
    expect(childrenMade(mine.log())).toBe(0)
  })
})
