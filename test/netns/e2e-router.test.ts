import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { closeFd } from '../../src/net/fd.js'
import { linkByName } from '../../src/net/links.js'
import { withNetlink } from '../../src/net/netlink.js'
import { Gateway, type GatewaySettings, gatewayConfig } from '../lab/gateway.js'
import { inside } from '../lab/inside.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
import { whyNoLab } from '../lab/requirements.js'
import { transferImage } from '../lab/transfer.js'
import { udpProbe } from '../lab/udp-probe.js'
import { FrameSocket } from '../lab/wire/frame-socket.js'

const why = whyNoLab({ tun: true })
const silent = whyNoLab({ tun: true, programs: ['nft'] })

const esp = { protocol: 'esp', proposals: ['aes128gcm16'] }
const ah = { protocol: 'ah', proposals: ['sha256'] }
const udp: GatewaySettings = { child: esp, peer: { encapsulation: 'udp' } }
const raw: GatewaySettings = { child: esp, peer: { encapsulation: 'raw' } }
const rawAh: GatewaySettings = { child: ah }

type Inside = 4 | 6 | 'transport'

const settingsOf = (way: GatewaySettings, outer: 4 | 6, inner: Inside): GatewaySettings =>
  inner === 'transport'
    ? { ...way, outer, transparent: true, child: { ...way.child, mode: 'transport' } }
    : { ...way, outer, inner }

function endsOf(outer: 4 | 6, inner: Inside): { from: string; to: string } {
  const which = inner === 'transport' ? (outer === 4 ? 'v4' : 'v6') : inner === 4 ? 'inner4' : 'inner6'
  return { from: ADDRESSES.a[which], to: ADDRESSES.b[which] }
}

describe.skipIf(why !== undefined)('a router on the way that forwards 1280 octets', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'router', router: { mtu: 1280 } })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  test.each<[string, GatewaySettings, 4 | 6, Inside]>([
    ['ESP in UDP, IPv4 in IPv4', udp, 4, 4],
    ['ESP in UDP, IPv6 in IPv6', udp, 6, 6],
    ['ESP in UDP, transport over IPv6', udp, 6, 'transport'],
    ['ESP, IPv6 in IPv4', raw, 4, 6],
    ['ESP, IPv4 in IPv6', raw, 6, 4],
    ['ESP, transport over IPv4', raw, 4, 'transport'],
    ['AH, IPv6 in IPv6', rawAh, 6, 6],
    ['AH, transport over IPv6', rawAh, 6, 'transport'],
  ])('%s: connections and long datagrams get through', async (_, way, outer, inner) => {
    gateways = await Gateway.pair(lab, settingsOf(way, outer, inner))
    const ends = endsOf(outer, inner)
    const moved = await transferImage(lab, { ...ends, octets: 1 << 20, deadlineMs: 15_000 })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    const { paths } = await gateways[0]!.status()
    expect(paths).toMatchObject([{ remote: ADDRESSES.b[outer === 4 ? 'v4' : 'v6'], mtu: 1280 }])
    // IPv6 hosts have to be told once more: what fits the tunnel is less than what the TCP connection has found out.
    await udpProbe(lab, { ...ends, rate: 40, seconds: 0.4, sizes: [1400] })
    const probe = await udpProbe(lab, {
      ...ends,
      rate: 80,
      seconds: 0.6,
      sizes: [100, 1200, 1400, 5000, 20_000],
    })
    expect(probe).toMatchObject({ received: probe.sent, damaged: 0, duplicates: 0 })
    for (const gateway of gateways) {
      const { drops } = await gateway.status()
      for (const cause of [
        'fragment-in-transport',
        'malformed-outer',
        'send-failed',
        'fragments-lost',
        'bad-icv',
      ])
        expect(drops[cause], cause).toBeUndefined()
    }
  })
})

describe.skipIf(silent !== undefined)('a router that says nothing of what it does not forward', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'router', router: { mtu: 1280, silent: true } })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  test.each<[string, GatewaySettings, 4 | 6]>([
    ['df: clear, ESP in UDP', { ...udp, child: { ...esp, df: 'clear' } }, 4],
    ['df: clear, ESP', { ...raw, child: { ...esp, df: 'clear' } }, 4],
    ['df: clear, AH', { child: { ...ah, df: 'clear' } }, 4],
    ['mss over IPv6, ESP in UDP', { ...udp, child: { ...esp, mss: 1100 } }, 6],
    ['mss over IPv6, ESP', { ...raw, child: { ...esp, mss: 1100 } }, 6],
  ])('%s gets a connection through', async (_, way, outer) => {
    gateways = await Gateway.pair(lab, { ...way, outer })
    const moved = await transferImage(lab, { ...endsOf(outer, 4), octets: 1 << 20, deadlineMs: 15_000 })
    expect(moved.sha256Received).toBe(moved.sha256Sent)
    expect((await gateways[0]!.status()).paths).toEqual([])
  })
})

describe.skipIf(why !== undefined)('what hosts behind the gateways see', () => {
  let lab: Lab
  let gateways: readonly Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create({ wire: 'cable' })
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  test.each([4, 6] as const)(
    'the MSS of IPv%s connections, lowered in both directions by one gateway',
    async (inner) => {
      const start = (side: Side, mss: number | 'off'): Promise<Gateway> =>
        Gateway.start(lab, side, gatewayConfig(lab, side, { ...raw, inner, child: { ...esp, mss } }))
      gateways = await Promise.all([start('a', 1200), start('b', 'off')])
      const listen = (side: Side): FrameSocket =>
        inside(lab.namespace(side), () =>
          withNetlink('route', (netlink) => new FrameSocket(linkByName(netlink, 'sally0').index, 2_048)),
        )
      const sockets = [listen('a'), listen('b')]
      try {
        const { from, to } = endsOf(4, inner)
        const moved = await transferImage(lab, { from, to, octets: 1 << 16, deadlineMs: 15_000 })
        expect(moved.sha256Received).toBe(moved.sha256Sent)
        // What came out of the tunnel: the answer at one end, the request at the other.
        expect(sockets.map((socket) => mssOfSyns(socket))).toEqual([
          [{ ack: true, mss: 1200 }],
          [{ ack: false, mss: 1200 }],
        ])
      } finally {
        for (const socket of sockets) closeFd(socket.fd)
      }
    },
  )

  test('a child limited to a port carries datagrams that come in fragments', async () => {
    gateways = await Promise.all(
      (['a', 'b'] as const).map((side) => {
        const limited = (s: Side) => [`${ADDRESSES[s].inner4}[${s === 'b' ? 'udp/7007' : 'udp'}]`]
        const child = { ...esp, local: limited(side), remote: limited(side === 'a' ? 'b' : 'a') }
        return Gateway.start(lab, side, gatewayConfig(lab, side, { ...raw, child }))
      }),
    )
    const ends = endsOf(4, 4)
    const probe = await udpProbe(lab, { ...ends, rate: 80, seconds: 0.6, sizes: [100, 5000, 9000, 30_000] })
    expect(probe).toMatchObject({ received: probe.sent, damaged: 0, duplicates: 0 })
    // What is for another port is not let through, in fragments or whole.
    const argv = ['-c', '1', '-W', '1', '-s', '5000', '-I', ends.from, ends.to]
    expect(() => lab.exec('a', 'ping', ...argv)).toThrow()
    expect((await gateways[0]!.status()).drops['no-policy']).toBeGreaterThan(0)
  })
})

/** The SYNs among the packets that came out of a TUN device, with their MSS. */
function mssOfSyns(socket: FrameSocket): { ack: boolean; mss: number }[] {
  const found: { ack: boolean; mss: number }[] = []
  for (let n = socket.receive(); n > 0; n = socket.receive())
    for (let i = 0; i < n; i++) {
      const packet = socket.bytes.subarray(i * socket.room, i * socket.room + socket.length[i]!)
      const v4 = packet[0]! >>> 4 === 4
      const tcp = v4 ? (packet[0]! & 15) * 4 : 40
      if (packet[v4 ? 9 : 6] !== 6 || (packet[tcp + 13]! & 0x02) === 0) continue
      // Linux puts it first.
      expect([...packet.subarray(tcp + 20, tcp + 22)]).toEqual([2, 4])
      found.push({ ack: (packet[tcp + 13]! & 0x10) !== 0, mss: packet.readUInt16BE(tcp + 22) })
    }
  return found
}
