import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings, gatewayConfig } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { SALLYPORT } from '../lab/root.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'

const why = whyNoLab({ tun: true })

describe.skipIf(why !== undefined)('lanes', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'cable' })
    // Several addresses on each side, so that there are flows for every lane.
    for (const [side, third] of [
      ['a', 1],
      ['b', 2],
    ] as const)
      for (let i = 101; i < 109; i++)
        lab.exec(side, 'ip', 'address', 'add', `10.88.${third}.${i}/32`, 'dev', 'lo')
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  const settings = (side: 'a' | 'b', lanes: number, more: GatewaySettings = {}): GatewaySettings => ({
    ...more,
    dataplane: { ...more.dataplane, lanes },
    child: {
      local: [side === 'a' ? '10.88.1.0/24' : '10.88.2.0/24'],
      remote: [side === 'a' ? '10.88.2.0/24' : '10.88.1.0/24'],
      start: 'start',
      ...more.child,
    },
  })
  const start = async (a: number, b: number, more: GatewaySettings = {}): Promise<void> => {
    gateways = await Promise.all([
      Gateway.start(lab, 'a', settings('a', a, more)),
      Gateway.start(lab, 'b', settings('b', b, more)),
    ])
    // Only a few packets wait for SAs: the flows begin when every lane that both have has one.
    for (const gateway of gateways)
      await gateway.until('established in every lane', (s) => {
        const sas = s.peers[0]!.children[0]!.sas.filter((sa) => sa.direction === 'outbound')
        return new Set(sas.map((sa) => sa.lane)).size === Math.min(a, b)
      })
  }

  /** Runs a program on a host to its end. */
  const ended = (side: 'a' | 'b', command: string, ...args: string[]) =>
    new Promise<{ status: number | null; output: string }>((resolve) => {
      const child = lab.spawn(side, command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 })
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', (part: string) => {
          output += part
        })
      child.on('close', (status) => resolve({ status, output }))
    })

  /** Many TCP flows, and datagrams that must come in order, between the hosts' addresses. */
  const flows = async (): Promise<void> => {
    const pair = (i: number) => ({ from: `10.88.1.${100 + i}`, to: `10.88.2.${100 + i}` })
    for (let i = 1; i < 9; i += 2) {
      const probe = { ...pair(i), rate: 1000, seconds: 0.5, sizes: [900, 20] }
      const [moved, sent, back] = await Promise.all([
        transferImage(lab, { ...pair(i), octets: 4 << 20, deadlineMs: 20_000 }),
        udpProbe(lab, { ...pair(i + 1 > 8 ? 1 : i + 1), rate: 1000, seconds: 0.5, sizes: probe.sizes }),
        udpProbe(lab, { side: 'b', from: pair(i).to, to: pair(i).from, rate: 300, seconds: 0.5 }),
      ])
      expect(moved.sha256Received).toBe(moved.sha256Sent)
      for (const result of [sent, back])
        expect(result).toMatchObject({ received: result.sent, duplicates: 0, reordered: 0, damaged: 0 })
    }
  }

  test.each<[string, GatewaySettings]>([
    ['UDP', { peer: { encapsulation: 'udp' } }],
    ['raw', { peer: { encapsulation: 'raw' } }],
    ['AH', { child: { protocol: 'ah', proposals: ['sha256'] } }],
    ['UDP over IPv6', { outer: 6, peer: { encapsulation: 'udp' } }],
    ['raw over IPv6', { outer: 6, peer: { encapsulation: 'raw' } }],
  ])(
    'two at both ends, %s: each has a CHILD_SA that carries packets',
    { timeout: 60_000 },
    async (_, more) => {
      await start(2, 2, more)
      await flows()
      for (const gateway of gateways) {
        const status = await gateway.status()
        expect(status.lanes).toBe(2)
        const { sas } = await gateway.child()
        for (const direction of ['inbound', 'outbound'])
          for (const lane of [0, 1]) {
            // Both ends began at once: for a while a lane may have two.
            const own = sas.filter((s) => s.direction === direction && s.lane === lane)
            const packets = own.reduce((total, s) => total + s.packets, 0)
            expect(packets, `${direction} ${lane}`).toBeGreaterThan(50)
            if (direction === 'inbound') for (const s of own) expect(s.spi % 2).toBe(lane)
          }
        for (const cause of ['unknown-spi', 'bad-icv', 'replayed', 'too-old', 'no-policy'])
          if (cause !== 'no-policy') expect(status.drops[cause] ?? 0, cause).toBe(0)
      }
    },
  )

  /** Four flows in order while either end renews the SAs again and again. */
  const rekeysUnderLoad = async (): Promise<void> => {
    const probes = Promise.all(
      [1, 2, 3, 4].map((i) =>
        udpProbe(lab, { from: `10.88.1.${100 + i}`, to: `10.88.2.${100 + i}`, rate: 300, seconds: 4 }),
      ),
    )
    for (let i = 0; i < 6; i++) {
      await new Promise((resolve) => setTimeout(resolve, 600))
      await gateways[i % 2]!.rekey()
    }
    for (const result of await probes)
      expect(result).toMatchObject({ received: result.sent, duplicates: 0, reordered: 0 })
  }
  const outboundLanes = async (gateway: Gateway): Promise<Set<number>> =>
    new Set((await gateway.child()).sas.filter((s) => s.direction === 'outbound').map((s) => s.lane))

  test('a rekey under load loses and reorders nothing', { timeout: 60_000 }, async () => {
    await start(2, 2, { peer: { encapsulation: 'udp' } })
    await flows()
    await rekeysUnderLoad()
    for (const gateway of gateways) {
      expect(await outboundLanes(gateway)).toEqual(new Set([0, 1]))
      const { counters } = await gateway.status()
      expect(counters.handedOver).toBe(0)
    }
  })

  test.each<[number, number, GatewaySettings]>([
    [2, 1, { peer: { encapsulation: 'udp' } }],
    [1, 2, { peer: { encapsulation: 'raw' } }],
    [3, 2, { peer: { encapsulation: 'udp' }, dataplane: { offload: { tun: 'off' } } }],
  ])(
    '%i lanes towards %i: those that the other has not hand over, in order',
    { timeout: 90_000 },
    async (a, b, more) => {
      await start(a, b, more)
      await flows()
      await rekeysUnderLoad()
      const shared = Array.from({ length: Math.min(a, b) }, (_, lane) => lane)
      for (const [i, lanes] of [a, b].entries()) {
        const status = await gateways[i]!.status()
        expect(status.lanes).toBe(lanes)
        expect(await outboundLanes(gateways[i]!)).toEqual(new Set(shared))
        for (const cause of ['unknown-spi', 'lane-busy', 'no-sa', 'replayed'])
          expect(status.drops[cause] ?? 0, cause).toBe(0)
        if (lanes > shared.length) expect(status.counters.handedOver).toBeGreaterThan(100)
        else expect(status.counters.handedOver).toBe(0)
      }
    },
  )

  test('packets that come before the other end is known wait, also where they are handed over', {
    timeout: 60_000,
  }, async () => {
    gateways = await Promise.all([
      Gateway.start(lab, 'a', settings('a', 4, { child: { start: 'trap' } })),
      Gateway.start(lab, 'b', settings('b', 1, { child: { start: 'trap' } })),
    ])
    const answers = await Promise.all(
      [1, 2, 3, 4, 5, 6, 7, 8].map((i) =>
        ended('a', 'ping', '-c', '1', '-W', '8', '-I', `10.88.1.${100 + i}`, `10.88.2.${100 + i}`),
      ),
    )
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 0))
    const status = await gateways[0]!.status()
    expect(status.counters.handedOver).toBeGreaterThan(0)
    expect(await outboundLanes(gateways[0]!)).toEqual(new Set([0]))
  })

  test.each([
    [2, 3],
    [1, 4],
  ])(
    'manual SAs, %i lanes towards %i: one SA carries the packets of all lanes',
    { timeout: 60_000 },
    async (a, b) => {
      const algorithms = 'aes128-sha256'
      const keys = lab.path(`lanes-${a}-${b}.keys`)
      const sas = [0x1001, 0x1002]
      const names = sas.flatMap((spi) => ['--sa', `${spi}:${algorithms}`])
      lab.exec('a', process.execPath, SALLYPORT, 'genkey', '-o', keys, ...names)
      const manual = (outbound: number): GatewaySettings => ({
        peer: { encapsulation: 'udp' },
        child: {
          start: undefined,
          proposals: undefined,
          manual: sas.map((spi) => ({
            direction: spi === outbound ? 'outbound' : 'inbound',
            ...{ spi, algorithms, keys_file: keys },
          })),
        },
      })
      gateways = await Promise.all([
        Gateway.start(lab, 'a', settings('a', a, manual(sas[0]!))),
        Gateway.start(lab, 'b', settings('b', b, manual(sas[1]!))),
      ])
      await flows()
      for (const [i, lanes] of [a, b].entries()) {
        const status = await gateways[i]!.status()
        expect(status.lanes).toBe(lanes)
        expect(status.drops).toEqual({})
        const child = await gateways[i]!.child()
        expect(child.sas.find((sa) => sa.direction === 'outbound')?.lane).toBe(0)
        expect(child.sas.find((sa) => sa.direction === 'inbound')?.lane).toBe(sas[1 - i]! % lanes)
        if (lanes > 1) expect(status.counters.handedOver).toBeGreaterThan(50)
      }
    },
  )

  test('a second gateway does not get between the lanes of the first', { timeout: 60_000 }, async () => {
    await start(2, 2, { peer: { encapsulation: 'udp' } })
    const second = gatewayConfig(lab, 'a', { ...settings('a', 3), tun: { name: 'sally1', addresses: [] } })
    const file = lab.file(
      'second.yaml',
      second.replace('a.vici', 'second.vici').replace('a.state', 'second.state'),
    )
    const refused = await ended('a', process.execPath, SALLYPORT, 'up', '-c', file)
    expect(refused.status).not.toBe(0)
    expect(refused.output).toContain('UDP port 4500')
    await flows()
    for (const gateway of gateways) expect((await gateway.status()).drops['unknown-spi'] ?? 0).toBe(0)
  })

  test('four lanes share nothing: each has its queue, its sockets and its SAs', {
    timeout: 60_000,
  }, async () => {
    await start(4, 4, { peer: { encapsulation: 'udp' } })
    await flows()
    const { sas } = await gateways[0]!.child()
    const outbound = sas.filter((s) => s.direction === 'outbound')
    expect(new Set(outbound.map((s) => s.spi)).size).toBe(outbound.length)
    expect(new Set(outbound.map((s) => s.lane)).size).toBeGreaterThan(2)
    const sockets = lab.exec('a', 'ss', '-lunpH', 'sport = :4500')
    expect(sockets.trim().split('\n')).toHaveLength(4)
    expect(lab.exec('a', 'ip', '-d', 'link', 'show', 'sally0')).toMatch(/multi_queue|numtxqueues/)
    expect(await gateways[0]!.stop()).toBe(0)
  })
})
