import { describe, expect, test } from 'vitest'
import { exposedPeers, transparentPolicies } from '../../../src/daemon/exposure.js'
import { type HostFacts, type PlannedRoute, planNetwork } from '../../../src/daemon/network-plan.js'
import { formatIp, formatPrefix, sameIp } from '../../../src/wire/ip-address.js'
import { ip, type NetworkScenario, networkConfig } from '../../lab/network-config.js'

const config = (s: Omit<NetworkScenario, 'state'>) => networkConfig({ state: '/nowhere', ...s })
const facts = (addresses: string[] = [], mtu = 1500): HostFacts => ({
  addresses: addresses.map(ip),
  underlay: () => ({ device: 'eth0', mtu }),
})
const shown = ({ destination, table, source }: PlannedRoute): string =>
  `${formatPrefix(destination)} table ${table} src ${source ? formatIp(source) : '-'}`

const ORDINARY = {
  local: '192.0.2.1',
  remote: '192.0.2.2',
  children: [{ local: ['10.88.1.1/32'], remote: ['10.88.2.1/32', '10.88.3.4-10.88.3.6'] }],
}
const TRANSPARENT = {
  local: '192.0.2.1',
  remote: '192.0.2.2',
  children: [{ local: ['192.0.2.0/24'], remote: ['192.0.2.2/32'] }],
}

describe('ordinary deployment', () => {
  test('routes in the main table, a range as blocks, the TUN address as source', () => {
    const plan = planNetwork(config({ addresses: ['10.88.1.1/32'], peers: [ORDINARY] }), facts(['192.0.2.1']))
    expect(plan.routes.map(shown)).toEqual([
      '10.88.2.1/32 table 254 src 10.88.1.1',
      '10.88.3.4/31 table 254 src 10.88.1.1',
      '10.88.3.6/32 table 254 src 10.88.1.1',
    ])
    expect(plan.rules).toEqual([])
    expect(plan.loose).toEqual([])
    expect(plan.warnings).toEqual([])
  })

  test('without a protected address of its own the host leaves the source to the kernel', () => {
    const [route] = planNetwork(config({ peers: [ORDINARY] }), facts(['192.0.2.1'])).routes
    expect(route!.source).toBeUndefined()
  })

  test('a protected address that another device has is the source', () => {
    const [route] = planNetwork(config({ peers: [ORDINARY] }), facts(['192.0.2.1', '10.88.1.1'])).routes
    expect(formatIp(route!.source!)).toBe('10.88.1.1')
  })

  test('of two children for a destination one route remains', () => {
    const twice = { ...ORDINARY, children: [...ORDINARY.children, ...ORDINARY.children] }
    expect(planNetwork(config({ peers: [twice] }), facts()).routes).toHaveLength(3)
  })

  test('no packet is exempt from the filter', () => {
    const { filter } = planNetwork(config({ peers: [ORDINARY] }), facts())
    expect(filter.name).toBe('sallyport-sally0')
    const rules = filter.chains.map((c): [string, number] => [c.name, c.rules.length])
    // Two pairs of selectors, looked at for addresses that are among them; and loopback where there is any.
    expect(Object.fromEntries(rules)).toEqual({
      ...{ 'came-in': 2, 'own-out': 2, 'goes-out': 2 },
      ...{ input: 1 + 1, forward: 1, output: 1 + 1, postrouting: 1 + 1 },
    })
    expect(filter.sets.map((set) => set.name)).toEqual(['protected4'])
  })

  test('the MTU is that of the narrowest path', () => {
    const mtu = (n: number) => planNetwork(config({ peers: [ORDINARY] }), facts([], n)).mtu
    expect(mtu(9000)).toBeGreaterThan(8900)
    expect(mtu(1500)).toBeLessThan(1460)
    expect(planNetwork(config({ mtu: 1300, peers: [ORDINARY] }), facts()).mtu).toBe(1300)
  })

  test('a peer that nothing leads to is warned of', () => {
    const plan = planNetwork(config({ peers: [ORDINARY] }), { addresses: [], underlay: () => undefined })
    expect(plan.warnings).toEqual([expect.stringMatching(/no route leads to peer p0 \(192\.0\.2\.2\)/)])
    expect(plan.mtu).toBeGreaterThan(1380)
  })

  test('a child for one port warns that routes know no ports', () => {
    const port = { ...ORDINARY, children: [{ local: ['10.88.1.1/32[6]'], remote: ['10.88.2.1/32[6/8002]'] }] }
    const plan = planNetwork(config({ peers: [port] }), facts())
    expect(plan.warnings).toEqual([expect.stringMatching(/p0\.c0 protects some protocols or ports only/)])
  })
})

describe('transparent deployment', () => {
  test('routes in a table of its own, a rule for the mark, a loose filter, the peer-facing address as source', () => {
    const plan = planNetwork(config({ peers: [TRANSPARENT] }), facts(['192.0.2.77', '192.0.2.1']))
    expect(plan.routes.map(shown)).toEqual(['192.0.2.2/32 table 23057 src 192.0.2.1'])
    expect(plan.rules).toEqual([{ family: 4, mark: 0x5a11, table: 23_057, priority: 23_057 }])
    expect(plan.loose).toEqual(['eth0'])
  })

  test('IPv6 has a rule and no reverse path filter', () => {
    const peer = {
      local: 'fd00::1',
      remote: 'fd00::2',
      children: [{ local: ['fd00::1/128'], remote: ['fd00::/64'] }],
    }
    const plan = planNetwork(config({ peers: [peer] }), facts(['fd00::1']))
    expect(plan.rules.map((r) => r.family)).toEqual([6])
    expect(plan.loose).toEqual([])
    const comments = (name: string) =>
      plan.filter.chains.find((c) => c.name === name)!.rules.map((r) => r.comment)
    expect(comments('input')).toEqual([
      'loopback',
      'neighbour discovery',
      'later fragments of peers, IPv6',
      'ESP of peers, IPv6',
      'AH of peers, IPv6',
      'UDP 500 of peers, IPv6',
      'UDP 4500 of peers, IPv6',
      'addresses that are protected, IPv6',
    ])
    expect(comments('came-in')).toEqual(['p0.c0: fd00::1/128 - fd00::/64'])
  })

  test('a child of one peer that covers another peer is transparent for both', () => {
    const wide = { ...ORDINARY, children: [{ local: ['10.88.1.1/32'], remote: ['192.0.2.128/25'] }] }
    const other = { ...ORDINARY, remote: '192.0.2.200' }
    const c = config({ peers: [wide, other] })
    expect(c.policies[0]!.transparent).toBe(false)
    expect([...transparentPolicies(c)].map((p) => p.peer)).toEqual(['p0'])
    expect(exposedPeers(c).map((p) => p.name)).toEqual(['p1'])
    const plan = planNetwork(c, facts())
    expect(plan.routes[0]!.table).toBe(23_057)
    expect(plan.routes.filter((r) => r.table === 254)).toHaveLength(3)
    expect(plan.rules).toHaveLength(1)
  })

  test('a route for everything is one', () => {
    const all = { ...TRANSPARENT, children: [{ local: ['192.0.2.1/32'], remote: ['0.0.0.0/0'] }] }
    const [route] = planNetwork(config({ peers: [all] }), facts()).routes
    expect(route!.destination.length).toBe(0)
    expect(sameIp(route!.destination.address, ip('0.0.0.0'))).toBe(true)
  })
})
