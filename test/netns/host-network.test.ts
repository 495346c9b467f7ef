import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayConfig } from '../../src/daemon/config/config.js'
import { HostNetwork, removeLeftovers } from '../../src/daemon/host-network.js'
import { SystemError } from '../../src/errors.js'
import { EINVAL, EPERM } from '../../src/ffi/errno.js'
import { libc } from '../../src/ffi/libc.js'
import { closeFd } from '../../src/net/fd.js'
import { reach } from '../../src/net/links.js'
import { withNetlink } from '../../src/net/netlink.js'
import { tableExists } from '../../src/net/nftables.js'
import { openRawSocket, openUdpSocket, sendDatagram } from '../../src/net/open-socket.js'
import { openTun } from '../../src/net/tun.js'
import { CAP_NET_ADMIN, withoutCapabilities } from '../lab/capabilities.js'
import { ip, networkConfig, type PeerScenario } from '../lab/network-config.js'
import { missingForNetns, PrivateNetns } from '../lab/private-netns.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs a network namespace and TUN: ${missing}`)

const MARK = 0x5a11
const TABLE = 23_057
const ESP = 50
const HELLO = new TextEncoder().encode('hello')
const silent = { info: () => undefined, warn: () => undefined }
const complain = (what: string, error: unknown): never => {
  throw new Error(`${what}: ${String(error)}`)
}

const ORDINARY: PeerScenario = {
  local: '192.0.2.1',
  remote: '192.0.2.2',
  children: [
    { local: ['10.88.1.1/32'], remote: ['10.88.2.1/32'] },
    { local: ['fd88:1::1/128'], remote: ['fd88:2::/64'] },
  ],
}
const TRANSPARENT: PeerScenario = {
  local: '192.0.2.1',
  remote: '192.0.2.2',
  children: [{ local: ['192.0.2.1/32'], remote: ['192.0.2.2/32'] }],
}
const TRANSPARENT6: PeerScenario = {
  local: 'fd00:2::1',
  remote: 'fd00:2::2',
  children: [{ local: ['fd00:2::1/128'], remote: ['fd00:2::2/128'] }],
}

describe.skipIf(missing)('network settings of the host', () => {
  let peer: PrivateNetns
  let host: PrivateNetns
  let holder: ChildProcess
  let state: string
  const fds: number[] = []

  beforeEach(async () => {
    state = mkdtempSync(join(tmpdir(), 'sallyport-network-'))
    // `ip` names a namespace by a process in it.
    peer = PrivateNetns.enter()
    holder = spawn('sleep', ['120'], { stdio: 'ignore' })
    peer.ip('link set lo up')
    host = PrivateNetns.enter()
    host.ip('link set lo up')
    host.ip(`link add u0 type veth peer name u1 netns ${holder.pid}`)
    host.ip('address add 192.0.2.1/24 dev u0')
    host.ip('address add fd00:2::1/64 dev u0 nodad')
    host.ip('link set u0 up')
    inPeer(() => {
      peer.ip('address add 192.0.2.2/24 dev u1')
      peer.ip('address add fd00:2::2/64 dev u1 nodad')
      peer.ip('link set u1 up')
      peer.ip('address add 10.88.2.1/32 dev lo')
      peer.ip('route add 10.88.1.1/32 via 192.0.2.1 src 10.88.2.1')
    })
    // IPv6 begins when the kernel has noticed that the link has a carrier.
    const table = '-6 route show table local'
    for (const [side, address] of [
      [host, 'fd00:2::1'],
      [peer, 'fd00:2::2'],
    ] as const)
      while (!within(side, () => side.ip(table)).includes(`local ${address}`))
        await new Promise((resolve) => setTimeout(resolve, 20))
  })
  afterEach(() => {
    for (const fd of fds.splice(0)) closeFd(fd)
    holder.kill()
    host.leave()
    peer.leave()
    rmSync(state, { recursive: true })
  })

  function within<T>(side: PrivateNetns, act: () => T): T {
    side.again()
    try {
      return act()
    } finally {
      host.again()
    }
  }
  const inPeer = <T>(act: () => T): T => within(peer, act)

  function tun(): number {
    const { fd } = openTun({ name: 'sally0' })
    fds.push(fd)
    return fd
  }

  /** As a killed process would: device gone, nothing taken back. */
  function kill(network: HostNetwork, tunFd: number): void {
    network.close()
    closeFd(tunFd)
    fds.splice(fds.indexOf(tunFd), 1)
  }

  function runAndKill(config: GatewayConfig): void {
    const fd = tun()
    kill(HostNetwork.apply(config, silent), fd)
  }

  function udp(local: string, port: number, mark = 0): number {
    const { fd } = openUdpSocket({ local: ip(local), port, mark })
    fds.push(fd)
    return fd
  }

  /** Whether a datagram arrives, which within one machine takes no time to speak of. */
  async function arrives(fd: number): Promise<boolean> {
    for (let i = 0; i < 20; i++) {
      if (libc().recv(fd, new Uint8Array(64), 0) > 0) return true
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return false
  }

  const ordinary = (): GatewayConfig =>
    networkConfig({ state, addresses: ['10.88.1.1/32', 'fd88:1::1/128'], peers: [ORDINARY] })
  const transparent = (): GatewayConfig => networkConfig({ state, peers: [TRANSPARENT, TRANSPARENT6] })

  const json = (args: string): Record<string, unknown>[] => JSON.parse(host.ip(`-j ${args}`))
  const routes = (args: string): string[] =>
    json(args).map(
      (r) => `${r.type ?? 'unicast'} ${r.dst} ${r.dev ?? ''} ${r.prefsrc ?? ''} ${r.metric ?? 0}`,
    )
  const wayTo = (address: string, mark = 0): string | undefined =>
    withNetlink('route', (netlink) => reach(netlink, ip(address), mark)?.link.name)
  const filterExists = (): boolean => withNetlink('netfilter', (n) => tableExists(n, 'sallyport-sally0'))
  /** Packets that rules with "drop" of a chain have counted. */
  function dropped(chain: string): number {
    const { nftables } = JSON.parse(host.run('nft', '-j', 'list', 'ruleset')) as {
      nftables: { rule?: { chain: string; expr: Record<string, { packets: number }>[] } }[]
    }
    const rules = nftables.map((n) => n.rule).filter((r) => r?.chain === chain)
    const counters = rules.flatMap((r) => r!.expr.map((e) => e.counter?.packets ?? 0))
    return counters.reduce((sum, n) => sum + n, 0)
  }
  const hasNft = (): boolean => {
    try {
      host.run('nft', '--version')
      return true
    } catch {
      return false
    }
  }
  /** Everything that `revert` has to bring back. */
  const snapshot = (): unknown => ({
    // Duplicate address detection may end meanwhile.
    addresses: host.ip('address show u0').replaceAll(/\d+sec| tentative/g, ''),
    routes: [host.ip('route show table all'), host.ip('-6 route show table all')].map((t) =>
      t.split('\n').filter((line) => !/sally0|fe80|ff00/.test(line)),
    ),
    rules: [host.ip('rule'), host.ip('-6 rule')],
    filter: filterExists(),
    rpFilter: readFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', 'latin1'),
    journal: existsSync(join(state, 'network-sally0.json')),
  })

  test('addresses, MTU, routes and what stands behind them', () => {
    tun()
    const network = HostNetwork.apply(ordinary(), silent)
    expect(network.inherited).toBe(false)
    const [link] = json('address show sally0') as [
      { mtu: number; flags: string[]; addr_info: { local: string }[] },
    ]
    expect(link.mtu).toBe(network.plan.mtu)
    expect(link.mtu).toBeGreaterThan(1380)
    expect(link.mtu).toBeLessThan(1460)
    expect(link.flags).toContain('UP')
    expect(link.addr_info.map((a) => a.local)).toEqual(expect.arrayContaining(['10.88.1.1', 'fd88:1::1']))
    expect(routes('route show')).toEqual(
      expect.arrayContaining(['unicast 10.88.2.1 sally0 10.88.1.1 0', 'blackhole 10.88.2.1   4294967294']),
    )
    expect(routes('-6 route show')).toEqual(
      expect.arrayContaining([
        'unicast fd88:2::/64 sally0 fd88:1::1 1024',
        'blackhole fd88:2::/64 lo  4294967294',
      ]),
    )
    expect(filterExists()).toBe(true)
    network.revert(complain)
  })

  test('revert leaves nothing', () => {
    writeFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', '1\n')
    for (const config of [ordinary(), transparent()]) {
      const fd = tun()
      const before = snapshot()
      const network = HostNetwork.apply(config, silent)
      expect(snapshot()).not.toEqual(before)
      network.revert(complain)
      expect(snapshot()).toEqual(before)
      kill(network, fd)
    }
  })

  test('revert after the device is gone leaves nothing either', () => {
    const before = snapshot()
    const fd = tun()
    const network = HostNetwork.apply(transparent(), silent)
    closeFd(fd)
    fds.length = 0
    network.revert(complain)
    expect(snapshot()).toEqual(before)
  })

  test('protected packets that come by the underlay are dropped', async () => {
    tun()
    const network = HostNetwork.apply(ordinary(), silent)
    const inside = udp('10.88.1.1', 7000)
    const open = udp('192.0.2.1', 7000)
    const sender = inPeer(() => udp('10.88.2.1', 7001))
    const other = inPeer(() => udp('192.0.2.2', 7001))
    sendDatagram(sender, ip('10.88.1.1'), 7000, HELLO)
    sendDatagram(other, ip('192.0.2.1'), 7000, HELLO)
    expect(await arrives(open)).toBe(true)
    expect(await arrives(inside)).toBe(false)
    if (hasNft()) expect(dropped('came-in')).toBe(1)
    network.revert(complain)
    // The same packet, once nothing forbids it.
    host.ip('address add 10.88.1.1/32 dev lo')
    const plain = udp('10.88.1.1', 7002)
    host.ip('route add 10.88.2.1/32 via 192.0.2.2')
    sendDatagram(sender, ip('10.88.1.1'), 7002, HELLO)
    expect(await arrives(plain)).toBe(true)
  })

  test('protected packets that routes send by the underlay are dropped', async () => {
    tun()
    const network = HostNetwork.apply(ordinary(), silent)
    const target = inPeer(() => udp('10.88.2.1', 7000))
    const sender = udp('10.88.1.1', 7001)
    const elsewhere = udp('192.0.2.1', 7002)
    // Somebody puts another route in place of ours.
    host.ip('route replace 10.88.2.1/32 via 192.0.2.2')
    expect(wayTo('10.88.2.1')).toBe('u0')
    expect(sendDatagram(sender, ip('10.88.2.1'), 7000, HELLO)).toBe(-EPERM)
    expect(sendDatagram(elsewhere, ip('10.88.2.1'), 7000, HELLO)).toBe(-EPERM)
    expect(await arrives(target)).toBe(false)
    if (hasNft()) expect(dropped('own-out')).toBe(2)
    network.revert(complain)
  })

  test('forwarded packets are held to the same', async () => {
    const config = networkConfig({
      state,
      peers: [{ ...ORDINARY, children: [{ local: ['10.88.1.0/24'], remote: ['10.88.2.0/24'] }] }],
    })
    tun()
    const network = HostNetwork.apply(config, silent)
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1\n')
    host.ip('link add g0 type veth peer name g1')
    host.ip('address add 10.88.1.254/24 dev g0')
    host.ip('link set g0 up')
    host.ip('link set g1 up')
    host.ip('neighbour add 10.88.1.7 lladdr 02:00:00:00:00:07 dev g0')
    inPeer(() => peer.ip('route add 10.88.1.0/24 via 192.0.2.1'))
    const sender = inPeer(() => udp('10.88.2.1', 7001))
    sendDatagram(sender, ip('10.88.1.7'), 7000, HELLO)
    if (hasNft()) expect(dropped('came-in')).toBe(1)
    network.revert(complain)
  })

  test('a thousand peers: the first, the last and one between are held to it, and others pass', async () => {
    const addressOf = (i: number) => `10.90.${i >> 8}.${i & 0xff}`
    const peers = Array.from({ length: 1000 }, (_, i) => ({
      local: '192.0.2.1',
      remote: `198.18.${i >> 8}.${i & 0xff}`,
      children: [{ local: ['10.88.1.1/32'], remote: [`${addressOf(i)}/32`] }],
    }))
    const before = snapshot()
    const fd = tun()
    const started = performance.now()
    const network = HostNetwork.apply(networkConfig({ state, addresses: ['10.88.1.1/32'], peers }), silent)
    expect(performance.now() - started).toBeLessThan(10_000)
    const inside = udp('10.88.1.1', 7000)
    const received: string[] = []
    for (const [i, from] of [addressOf(0), addressOf(499), addressOf(999), addressOf(1000)].entries()) {
      inPeer(() => peer.ip(`address add ${from}/32 dev lo`))
      const sender = inPeer(() => udp(from, 7001))
      inPeer(() => peer.ip(`route replace 10.88.1.1/32 via 192.0.2.1 src ${from}`))
      sendDatagram(sender, ip('10.88.1.1'), 7000, HELLO)
      if (await arrives(inside)) received.push(from)
      if (hasNft()) expect(dropped('came-in')).toBe(Math.min(i + 1, 3))
    }
    expect(received).toEqual([addressOf(1000)])
    network.revert(complain)
    expect(snapshot()).toEqual(before)
    kill(network, fd)
  })

  test('killed: nothing protected passes; a new start takes over and ends cleanly', async () => {
    const before = snapshot()
    runAndKill(ordinary())
    expect(wayTo('10.88.2.1')).toBeUndefined()
    expect(wayTo('fd88:2::7')).toBeUndefined()
    expect(sendDatagram(udp('192.0.2.1', 7001), ip('10.88.2.1'), 7000, HELLO)).toBe(-EINVAL)
    expect(filterExists()).toBe(true)

    tun()
    const network = HostNetwork.apply(ordinary(), silent)
    expect(network.inherited).toBe(true)
    expect(wayTo('10.88.2.1')).toBe('sally0')
    expect(routes('route show').filter((r) => r.startsWith('blackhole'))).toHaveLength(1)
    network.revert(complain)
    expect(snapshot()).toEqual(before)
  })

  test('killed, then started with another configuration: what only the old one had is removed', () => {
    writeFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', '1\n')
    const before = snapshot()
    runAndKill(networkConfig({ state, fwmark: 7, peers: [TRANSPARENT] }))
    expect(wayTo('192.0.2.2', MARK)).toBeUndefined()
    tun()
    const network = HostNetwork.apply(ordinary(), silent)
    expect(network.plan.warnings).toEqual([])
    expect(host.ip('rule')).not.toContain(`${TABLE}`)
    expect(readFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', 'latin1')).toBe('1\n')
    expect(wayTo('192.0.2.2')).toBe('u0')
    network.revert(complain)
    expect(snapshot()).toEqual(before)
  })

  test('killed: leftovers can be removed without a start', () => {
    writeFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', '1\n')
    const before = snapshot()
    runAndKill(transparent())
    expect(removeLeftovers(transparent(), complain)).toHaveLength(6)
    expect(snapshot()).toEqual(before)
    expect(removeLeftovers(transparent(), complain)).toEqual([])
    // Without the journal too, as far as the configuration tells.
    runAndKill(ordinary())
    rmSync(join(state, 'network-sally0.json'))
    expect(removeLeftovers(ordinary(), complain)).toHaveLength(3)
    expect(snapshot()).toEqual(before)
  })

  test.each([
    ['IPv4', '192.0.2.1', '192.0.2.2'],
    ['IPv6', 'fd00:2::1', 'fd00:2::2'],
  ])('transparent, %s: only the gateway itself reaches the peer by the underlay', async (_, here, there) => {
    if (here.includes('.')) writeFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', '1\n')
    tun()
    const network = HostNetwork.apply(transparent(), silent)
    expect(readFileSync('/proc/sys/net/ipv4/conf/u0/rp_filter', 'latin1')).toBe(
      here.includes('.') ? '2\n' : '0\n',
    )
    expect(wayTo(there)).toBe('sally0')
    expect(wayTo(there, MARK)).toBe('u0')

    const theirs = inPeer(() => udp(there, 4500))
    const ours = udp(here, 4500, MARK)
    const plain = udp(here, 7000)
    expect(sendDatagram(ours, ip(there), 4500, HELLO)).toBe(HELLO.length)
    // With IPv6 this has resolved the neighbour through the filter.
    expect(await arrives(theirs)).toBe(true)
    expect(sendDatagram(plain, ip(there), 4500, HELLO)).toBe(HELLO.length)
    expect(await arrives(theirs)).toBe(false)

    const esp = { local: ip(here), protocol: ESP }
    const ourEsp = openRawSocket({ ...esp, mark: MARK }).fd
    const theirEsp = inPeer(() => openRawSocket({ ...esp, local: ip(there) }).fd)
    const nat = inPeer(() => udp(there, 31_000))
    fds.push(ourEsp, theirEsp)
    sendDatagram(theirs, ip(here), 4500, HELLO)
    expect(await arrives(ours)).toBe(true)
    sendDatagram(nat, ip(here), 4500, HELLO)
    expect(await arrives(ours)).toBe(true)
    sendDatagram(theirEsp, ip(here), 0, new Uint8Array(64))
    expect(await arrives(ourEsp)).toBe(true)
    sendDatagram(theirs, ip(here), 7000, HELLO)
    expect(await arrives(plain)).toBe(false)
    if (hasNft()) expect(dropped('came-in')).toBe(1)

    // Even where no rule leads into the TUN device.
    host.ip(`${here.includes(':') ? '-6 ' : ''}rule delete priority 23057`)
    expect(wayTo(there)).toBe('u0')
    expect(sendDatagram(plain, ip(there), 4500, HELLO)).toBe(-EPERM)
    network.revert(complain)
  })

  test('transparent, killed: the peer is cut off except for the mark', () => {
    runAndKill(transparent())
    for (const there of ['192.0.2.2', 'fd00:2::2']) {
      expect(wayTo(there)).toBeUndefined()
      expect(wayTo(there, MARK)).toBe('u0')
    }
    tun()
    const network = HostNetwork.apply(transparent(), silent)
    expect(network.plan.warnings).toEqual([])
    network.revert(complain)
  })

  test('a step that fails undoes the others and says what it was', () => {
    tun()
    const before = snapshot()
    const config = networkConfig({ state, mtu: 12, peers: [ORDINARY] })
    expect(() => HostNetwork.apply(config, silent)).toThrow(/cannot set the MTU of sally0 to 12.*EINVAL/)
    expect(snapshot()).toEqual(before)
    expect(() => HostNetwork.apply({ ...config, tun: { ...config.tun, name: 'none0' } }, silent)).toThrow(
      /there is no network device none0/,
    )
  })

  test('a start that fails after a kill does not open what was shut', () => {
    runAndKill(ordinary())
    tun()
    const { tun: settings, ...rest } = ordinary()
    expect(() => HostNetwork.apply({ ...rest, tun: { ...settings, mtu: 12 } }, silent)).toThrow(SystemError)
    expect(filterExists()).toBe(true)
    expect(routes('route show')).toContain('blackhole 10.88.2.1   4294967294')
    expect(removeLeftovers(ordinary(), complain)).not.toEqual([])
  })

  test('without CAP_NET_ADMIN the error says so', () => {
    tun()
    let message = ''
    withoutCapabilities([CAP_NET_ADMIN], () => {
      try {
        HostNetwork.apply(ordinary(), silent)
      } catch (error) {
        message = (error as Error).message
      }
    })
    expect(message).toMatch(/EPERM.*CAP_NET_ADMIN is missing/)
  })
})
