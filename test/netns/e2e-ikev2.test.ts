import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { udpProbe } from '../lab/udp-probe.js'
import { PLAIN_KINDS } from '../lab/wire/frame.js'

const why = whyNoLab({ tun: true })
const [from, to] = [ADDRESSES.a.inner4, ADDRESSES.b.inner4]

describe.skipIf(why !== undefined)('IKEv2 between two gateways', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  async function up(settings: GatewaySettings): Promise<void> {
    const ike = { version: 2, proposals: ['aes128gcm16-prfsha256-x25519'], ...settings.ike }
    gateways = await Gateway.pair(lab, { ...settings, ike, child: { start: 'start', ...settings.child } })
    for (const gateway of gateways)
      await gateway.until('up', (s) => s.peers[0]!.children[0]!.sas.some((sa) => sa.direction === 'outbound'))
    // What was seen of the wire before is forgotten.
    await lab.wire.watch()
  }

  test.each(['hardened', 'classic'])('dynamic_psk: %s', { timeout: 60_000 }, async (scheme) => {
    await up({ peer: { dynamic_psk: scheme } })
    const probe = await udpProbe(lab, { from, to, rate: 500, seconds: 3 })
    expect(probe).toMatchObject({ received: probe.sent, duplicates: 0 })
    const status = await gateways[0]!.status()
    expect(status.peers[0]!.ike).toMatchObject({ version: 2, phase: 'established' })
    expect(status.peers[0]!.ike!.sas[0]!.proposal).toBe('aes128gcm16-prfsha256-x25519')
    const { frames } = await lab.wire.report()
    for (const plain of PLAIN_KINDS) expect(frames[plain] ?? 0, plain).toBe(0)
  })

  test('one gateway goes down, the other knows at once; it comes back', { timeout: 60_000 }, async () => {
    await up({})
    await gateways[1]!.stop()
    await gateways[0]!.until('told', (s) => s.peers[0]!.ike!.sas.length === 0, 3_000)
    const again = await Gateway.start(lab, 'b', {
      ike: { version: 2, proposals: ['aes128gcm16-prfsha256-x25519'] },
      child: { start: 'start' },
    })
    gateways = [gateways[0]!, again]
    await again.until('up', (s) => s.peers[0]!.children[0]!.sas.length > 0)
    const probe = await udpProbe(lab, { from, to, rate: 200, seconds: 2 })
    expect(probe).toMatchObject({ received: probe.sent })
  })
})
