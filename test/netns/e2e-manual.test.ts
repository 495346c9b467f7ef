import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { SALLYPORT } from '../lab/root.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true })

const SECRET_TAG = 'manual-secret'
const SECRETS = 100

interface Case {
  readonly protocol: 'esp' | 'ah'
  readonly mode: 'tunnel' | 'transport'
  readonly outer: 4 | 6
  /** In transport mode the hosts' own addresses, so the same as `outer`. */
  readonly inner: 4 | 6
}

const CASES: Case[] = (['esp', 'ah'] as const).flatMap((protocol) =>
  ([4, 6] as const).flatMap((outer): Case[] => [
    { protocol, mode: 'tunnel', outer, inner: 4 },
    { protocol, mode: 'tunnel', outer, inner: 6 },
    { protocol, mode: 'transport', outer, inner: outer },
  ]),
)

describe.skipIf(why !== undefined)('manual SAs, every protocol, mode and family', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'forwarder' })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  test.each(CASES)('$protocol $mode, IPv$inner in IPv$outer', async ({ protocol, mode, outer, inner }) => {
    const algorithms = protocol === 'esp' ? 'aes128-sha256' : 'sha256'
    const keys = lab.path(`${protocol}-${mode}-${inner}-${outer}.keys`)
    const sas = [`0x1001:${algorithms}`, `0x1002:${algorithms}`]
    lab.exec('a', process.execPath, SALLYPORT, 'genkey', '-o', keys, ...sas.flatMap((sa) => ['--sa', sa]))
    const transparent = mode === 'transport'
    const settings = (outbound: number): GatewaySettings => ({
      outer,
      inner,
      transparent,
      peer: { encapsulation: 'raw' },
      child: {
        protocol,
        mode,
        manual: [
          { direction: 'outbound', spi: outbound, algorithms, keys_file: keys },
          { direction: 'inbound', spi: 0x2003 - outbound, algorithms, keys_file: keys },
        ],
      },
    })
    await lab.wire.watch({ secretTag: SECRET_TAG })
    gateways = await Promise.all([
      Gateway.start(lab, 'a', settings(0x1001)),
      Gateway.start(lab, 'b', settings(0x1002)),
    ])
    const which = transparent ? (`v${outer}` as const) : (`inner${inner}` as const)
    const [from, to] = [ADDRESSES.a[which], ADDRESSES.b[which]]

    const moved = await transferImage(lab, {
      from,
      to,
      octets: 2 << 20,
      secretTag: SECRET_TAG,
      secrets: SECRETS,
      deadlineMs: 15_000,
    })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    // Datagrams besides the stream, in both directions at once.
    const probes = await Promise.all([
      udpProbe(lab, { from, to, rate: 100, seconds: 0.3 }),
      udpProbe(lab, { side: 'b', from: to, to: from, rate: 100, seconds: 0.3 }),
    ])
    for (const probe of probes) expect(probe).toMatchObject({ sent: 30, received: 30, duplicates: 0 })

    const { frames, secrets, overrun } = await lab.wire.report()
    expect(overrun).toBe(0)
    // What is on the wire is this and nothing else: no key exchange, no plaintext, no encapsulation.
    const allowed = new Set<string>([protocol, 'arp', 'neighbour'])
    expect(Object.keys(frames).filter((kind) => !allowed.has(kind))).toEqual([])
    // One that two packets share may have other octets between its halves.
    if (protocol === 'ah') expect(secrets).toBeGreaterThan(0.9 * SECRETS)
    else expect(secrets).toBe(0)
    // Every packet that one gateway protected was on the wire, and was accepted by the other.
    const [mine, theirs] = await Promise.all(gateways.map(packetsOf))
    expect(mine!.outbound).toBeGreaterThan(1000)
    expect(theirs!.outbound).toBeGreaterThanOrEqual(30)
    expect(theirs!.inbound).toBe(mine!.outbound)
    expect(mine!.inbound).toBe(theirs!.outbound)
    expect(frames[protocol]).toBe(mine!.outbound + theirs!.outbound)
    for (const { drops } of [mine!, theirs!]) expect(drops).toEqual({})
  })
})

/** What a gateway's two SAs carried, and what it dropped, by cause. */
async function packetsOf(gateway: Gateway) {
  const { sas } = await gateway.child()
  const { drops } = await gateway.status()
  const of = (direction: string): number => sas.find((sa) => sa.direction === direction)?.packets ?? -1
  return {
    outbound: of('outbound'),
    inbound: of('inbound'),
    drops: Object.fromEntries(Object.entries(drops).filter(([, n]) => n > 0)),
  }
}
