import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import type { Rule } from '../lab/impair/rules.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true })
const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]

// dom0-a does something wrong, dom0-b is healthy: it says what it is, goes on, and keeps nothing of it.

describe.skipIf(why !== undefined)('an impaired peer', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  async function start(version: 1 | 2, impair: readonly Rule[], over: GatewaySettings = {}): Promise<void> {
    const proposals = [version === 2 ? 'aes128gcm16-prfsha256-x25519' : 'aes128-sha256-ecp256']
    gateways = await Gateway.pair(lab, { ...over, impair, ike: { version, proposals } })
  }

  const outbound = (gateway: Gateway, ms?: number) =>
    gateway.until('up', (s) => s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'), ms)

  /** dom0-a's packets ask for SAs. */
  const ask = () => udpProbe(lab, { from, to, rate: 10, seconds: 1 })

  test.each([
    [2, { message: 'IKE_AUTH request', payload: 'TSi', do: 'omit' }, /INVALID_SYNTAX: payload TSi/],
    [2, { message: 'IKE_AUTH request', payload: 'AUTH', do: 'corrupt' }, /AUTH does not verify/],
    [2, { message: 'IKE_AUTH request', payload: 'SA', do: 'double' }, /malformed: payload SA/],
    [1, { message: 'Main Mode 1', payload: 'SA', do: 'corrupt' }, /HASH_I of message 5 does not verify/],
    [
      1,
      { message: 'Main Mode 3', payload: 'KE', do: 'corrupt' },
      /the public value in message 3 is not valid/,
    ],
  ] as const)('IKEv%i, %j', { timeout: 60_000 }, async (version, rule, says) => {
    await start(version, [rule])
    await ask()
    const [, healthy] = gateways as [Gateway, Gateway]
    const status = await healthy.until('told', (s) => says.test(s.peers[0]!.ike?.lastError ?? ''))
    expect(status.peers[0]!.children[0]!.sas).toEqual([])
    expect(status.events['ike.internal']).toBeUndefined()
    // The same daemon serves the peer as soon as it behaves.
    await gateways[0]!.stop()
    gateways = [await Gateway.start(lab, 'a', settingsOf(version)), healthy]
    await udpProbe(lab, { from, to, rate: 10, seconds: 1 })
    await Promise.all(gateways.map((g) => outbound(g)))
    const probe = await udpProbe(lab, { from, to, rate: 200, seconds: 1 })
    expect(probe).toMatchObject({ received: probe.sent })
  })

  const settingsOf = (version: 1 | 2): GatewaySettings => ({
    ike: { version, proposals: [version === 2 ? 'aes128gcm16-prfsha256-x25519' : 'aes128-sha256-ecp256'] },
  })

  test('a peer whose messages come twice, late and in the wrong order; not a packet is lost', async () => {
    await start(2, [
      { message: 'IKE_SA_INIT request', do: 'double' },
      { message: 'IKE_AUTH request', do: 'delay', ms: 1_500 },
      { message: 'CREATE_CHILD_SA request', do: 'reorder' },
      { message: 'CREATE_CHILD_SA response', do: 'delay', ms: 1_200 },
      { message: 'INFORMATIONAL request', do: 'double' },
      { message: 'INFORMATIONAL response', do: 'omit', times: 1 },
    ])
    await ask()
    await Promise.all(gateways.map((g) => outbound(g)))
    const flowing = udpProbe(lab, { from, to, rate: 500, seconds: 12 })
    for (const gateway of [...gateways, ...gateways]) {
      await sleep(1_000)
      await gateway.rekey()
      await sleep(1_000)
      await gateway.rekeyIke()
    }
    const probe = await flowing
    expect(probe).toMatchObject({ received: probe.sent, duplicates: 0 })
    for (const gateway of gateways)
      await gateway.until(
        'settled',
        (s) =>
          s.peers[0]!.ike!.sas.filter((sa) => !sa.replaced).length === 1 &&
          s.peers[0]!.children[0]!.sas.filter((sa) => sa.direction === 'outbound').length === 1,
        60_000,
      )
  }, 120_000)

  test.each([1, 2] as const)('terminate ends one child, IKEv%i', { timeout: 60_000 }, async (version) => {
    const children: GatewaySettings['children'] = (mine, theirs) => ({
      storage: { local: [mine.inner6], remote: [theirs.inner6], start: 'start' },
    })
    gateways = await Gateway.pair(lab, { ...settingsOf(version), child: { start: 'start' }, children })
    const count = (g: Gateway, n: readonly number[]) =>
      g.until(`${n}`, (s) => {
        const has = s.peers[0]!.children.map((c) => Math.min(1, c.sas.length))
        return has.join() === n.join()
      })
    for (const gateway of gateways) await count(gateway, [1, 1])
    await gateways[0]!.terminate('storage')
    for (const gateway of gateways) await count(gateway, [1, 0])
    const { peers } = await gateways[1]!.status()
    expect(peers[0]!.ike!.phase).toBe('established')
    const probe = await udpProbe(lab, { from, to, rate: 200, seconds: 1 })
    expect(probe).toMatchObject({ received: probe.sent })
  })
})
