import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { GatewayProcess } from '../lab/gateway-process.js'
import { missingForNetns } from '../lab/private-netns.js'
import { type TwoHosts, UNDERLAY } from '../lab/two-hosts.js'
import { gateways, lost, protectedOf, type Shape, yaml } from './gateways.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs root, TUN and network namespaces: ${missing}`)

const esp: Shape = { protocol: 'esp', mode: 'tunnel', underlay: 4, inner: 4 }
const count = (text: string, what: RegExp): number => text.match(what)?.length ?? 0

describe.skipIf(missing !== undefined)('the life of a tunnel', () => {
  let hosts: TwoHosts | undefined

  afterEach(async () => {
    await hosts?.close()
    hosts = undefined
  })

  test.each(['udp', 'raw'] as const)(
    'phase 2 and phase 1 are renewed under traffic and no packet is lost (%s)',
    { timeout: 90_000 },
    async (encapsulation) => {
      const shape: Shape = { ...esp, encapsulation, lifetime: 'time: 8s', ike: 'version: 1, lifetime: 20s' }
      const up = await gateways(shape)
      hosts = up.hosts
      expect(lost(hosts, shape, 3, '0.2')).toBe(0)
      expect(lost(hosts, shape, 1500, '0.02')).toBe(0)
      const log = up.a.text() + up.b.text()
      expect(count(log, /CHILD_SA established/g)).toBeGreaterThanOrEqual(2 * 4)
      expect(count(log, /IKE SA established/g)).toBeGreaterThanOrEqual(2 * 2)
      // Every new phase 1 has its own pre-phase.
      expect(count(log, /pre-phase: finished"/g)).toBe(count(log, /IKE SA established/g))
    },
  )

  test('kill -9 of one side: nothing in the clear, and the tunnel comes back', {
    timeout: 90_000,
  }, async () => {
    const shape: Shape = { ...esp, ike: 'version: 1, dpd: 2s' }
    const up = await gateways(shape)
    hosts = up.hosts
    expect(lost(hosts, shape, 3, '0.2')).toBe(0)
    const capture = join(hosts.directory, 'wire.pcap')
    const tcpdump = hosts.attempt('b', 'sh', '-c', 'command -v tcpdump')
    if (tcpdump.status === 0)
      hosts.start('b', 'tcpdump.log', 'tcpdump', '-U', '-i', 'underlay', '-w', capture)
    await sleep(500)
    await up.a.kill9()
    // The crashed side cannot send, as its routes ended in a black hole; the other side's packets find no SA there.
    const out = hosts.attempt('a', 'ping', '-c', '2', '-W', '1', '-I', UNDERLAY[4].a, protectedOf(shape, 'b'))
    expect(out.status).not.toBe(0)
    expect(hosts.run('a', 'ip', 'route')).toContain('blackhole 10.88.2.1')
    expect(lost(hosts, shape, 3, '0.2', 'b')).toBe(3)
    await GatewayProcess.start(hosts, 'a', yaml(shape, 'a'))
    let recovered = false
    for (let i = 0; i < 20 && !recovered; i++) recovered = lost(hosts, shape, 1, '1', 'a') === 0
    expect(recovered).toBe(true)
    expect(lost(hosts, shape, 5, '0.2', 'b')).toBe(0)
    if (tcpdump.status !== 0) return
    await sleep(300)
    // A protected address in an IPv4 header on the wire: 10.88.1.1 or 10.88.2.1 next to each other.
    const wire = readFileSync(capture)
    expect(wire.includes(Buffer.of(10, 88, 1, 1, 10, 88, 2, 1))).toBe(false)
    expect(wire.includes(Buffer.of(10, 88, 2, 1, 10, 88, 1, 1))).toBe(false)
    expect(wire.length).toBeGreaterThan(1000)
  })

  test('plaintext from the underlay for protected addresses is refused', { timeout: 60_000 }, async () => {
    const up = await gateways(esp)
    hosts = up.hosts
    expect(lost(hosts, esp, 2, '0.2')).toBe(0)
    // The attacker on the wire: the peer host, past its gateway.
    await up.a.stop()
    hosts.run('a', 'ip', 'addr', 'add', '10.88.1.1/32', 'dev', 'lo')
    hosts.run('a', 'ip', 'route', 'add', '10.88.2.1/32', 'via', UNDERLAY[4].b, 'src', '10.88.1.1')
    hosts.run('b', 'ip', 'route', 'add', '10.88.1.0/24', 'via', UNDERLAY[4].a)
    const { status } = hosts.attempt(
      'a',
      'ping',
      '-c',
      '3',
      '-i',
      '0.2',
      '-W',
      '1',
      '-I',
      '10.88.1.1',
      '10.88.2.1',
    )
    expect(status).not.toBe(0)
  })

  test('down ends a running gateway and leaves nothing', { timeout: 60_000 }, async () => {
    const up = await gateways({ ...esp, start: 'start' })
    hosts = up.hosts
    const { cli } = await import('../lab/gateway-process.js')
    expect(cli('down', '--socket', up.a.control).status).toBe(0)
    expect(await up.a.stop()).toBe(0)
    expect(hosts.run('a', 'ip', 'route')).not.toContain('10.88')
  })
})
