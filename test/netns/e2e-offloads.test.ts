import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings } from '../lab/gateway.js'
import { ADDRESSES, Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'

// Every level of offload down to a packet a system call, and every engine, carries the same stream.

const why = whyNoLab({ tun: true })

interface Case extends GatewaySettings {
  readonly name: string
  readonly mebibytes?: number
  /** Datagrams a second. */
  readonly rate?: number
  /** Features as `status` must say them, where the kernel would grant more. */
  readonly features?: Readonly<Record<string, boolean>>
  /** Most packets take direct ways, or none does. */
  readonly direct?: boolean
}

const udp = { encapsulation: 'udp' }
const raw = { encapsulation: 'raw' }
const off = { tun: 'off', udp_gso: false, udp_gro: false }
const cases: Case[] = [
  { name: 'everything the kernel grants, UDP', peer: udp },
  { name: 'everything the kernel grants, raw', peer: raw, direct: true },
  { name: 'everything the kernel grants, raw over IPv6', peer: raw, outer: 6, direct: true },
  {
    name: 'raw without direct ways',
    peer: raw,
    dataplane: { offload: { raw_direct: false } },
    features: { rawDirect: false },
    direct: false,
  },
  ...(['tso', 'checksum', 'none', 'off'] as const).map(
    (tun): Case => ({
      name: `TUN offload ${tun}`,
      peer: udp,
      dataplane: { offload: { tun } },
      features: {
        tunUso: false,
        tunTso: tun === 'tso',
        vnetHeader: tun !== 'off',
        joinTcp: tun !== 'off',
        joinUdp: false,
      },
    }),
  ),
  {
    name: 'no UDP_SEGMENT',
    peer: udp,
    dataplane: { offload: { udp_gso: false } },
    features: { udpGso: false },
  },
  { name: 'no UDP_GRO', peer: udp, dataplane: { offload: { udp_gro: false } }, features: { udpGro: false } },
  {
    name: 'no joined TCP',
    peer: udp,
    dataplane: { offload: { join_tcp: false } },
    features: { joinTcp: false },
  },
  {
    name: 'no joined UDP',
    peer: udp,
    dataplane: { offload: { join_udp: false } },
    features: { joinUdp: false },
  },
  { name: 'a packet a system call', peer: udp, dataplane: { offload: off }, features: { vnetHeader: false } },
  { name: 'engine openssl', peer: udp, dataplane: { engine: 'openssl' } },
  { name: 'engine noble', peer: udp, dataplane: { engine: 'noble' }, mebibytes: 2, rate: 1000 },
]

describe.skipIf(why !== undefined)('offloads and engines', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'cable' })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  })
  afterAll(() => lab.close())

  test.each(cases)(
    '$name',
    { timeout: 60_000 },
    async ({ name: _, mebibytes = 32, rate = 4000, features, direct, ...settings }) => {
      gateways = await Gateway.pair(lab, settings)
      const moved = await transferImage(lab, {
        from: ADDRESSES.a.inner4,
        to: ADDRESSES.b.inner4,
        octets: mebibytes << 20,
        deadlineMs: 40_000,
      })
      expect(moved.sha256Received).toBe(moved.sha256Sent)
      const datagrams = await udpProbe(lab, {
        from: ADDRESSES.a.inner4,
        to: ADDRESSES.b.inner4,
        rate,
        seconds: 0.5,
        sizes: [1000, 10, 1372],
      })
      expect(datagrams).toMatchObject({ received: datagrams.sent, duplicates: 0, reordered: 0, damaged: 0 })
      for (const gateway of gateways) {
        const status = await gateway.status()
        expect(status.features).toMatchObject(features ?? {})
        const { txDatagrams, txDirect } = status.counters
        if (direct !== undefined) expect(txDirect > txDatagrams / 2).toBe(direct)
        if (direct === false) expect(txDirect).toBe(0)
        if (settings.dataplane?.engine) expect(status.engine).toBe(settings.dataplane.engine)
        for (const cause of [
          'bad-icv',
          'replayed',
          'too-old',
          'malformed-inner',
          'selector-mismatch',
          'tun-refused',
        ])
          expect(status.drops[cause] ?? 0, cause).toBe(0)
      }
    },
  )
})
