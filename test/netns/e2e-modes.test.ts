import { afterEach, describe, expect, test } from 'vitest'
import { missingForNetns } from '../lab/private-netns.js'
import type { TwoHosts } from '../lab/two-hosts.js'
import { gateways, lost, type Shape, statusOf, transfer } from './gateways.js'

const missing = missingForNetns({ tun: true })
if (missing) console.log(`skipped, needs root, TUN and network namespaces: ${missing}`)

const shapes: Shape[] = []
for (const protocol of ['esp', 'ah'] as const)
  for (const mode of ['tunnel', 'transport'] as const)
    for (const underlay of [4, 6] as const)
      for (const inner of mode === 'tunnel' ? ([4, 6] as const) : [underlay])
        shapes.push({ protocol, mode, underlay, inner, encapsulation: protocol === 'ah' ? 'raw' : 'auto' })
shapes.push({ protocol: 'esp', mode: 'tunnel', underlay: 4, inner: 4, encapsulation: 'udp' })
shapes.push({ protocol: 'esp', mode: 'tunnel', underlay: 6, inner: 6, encapsulation: 'udp' })
shapes.push({ protocol: 'esp', mode: 'tunnel', underlay: 4, inner: 4, encapsulation: 'raw' })
shapes.push({ protocol: 'esp', mode: 'tunnel', underlay: 4, inner: 4, proposals: 'aes256-sha512' })
shapes.push({ protocol: 'esp', mode: 'transport', underlay: 4, inner: 4, encapsulation: 'udp' })
shapes.push({ protocol: 'esp', mode: 'tunnel', underlay: 4, inner: 4, dynamicPsk: 'classic' })
shapes.push({
  protocol: 'esp',
  mode: 'tunnel',
  underlay: 4,
  inner: 4,
  dataplane: 'engine: noble, offload: { tun: off, udp_gso: false, udp_gro: false }',
})

const nameOf = (s: Shape): string =>
  `${s.protocol} ${s.mode} ${s.encapsulation ?? ''} IPv${s.inner} over IPv${s.underlay} ${s.proposals ?? ''} ${s.dynamicPsk ?? ''} ${s.dataplane ?? ''}`

describe.skipIf(missing !== undefined)('two gateways', () => {
  let hosts: TwoHosts | undefined

  afterEach(async () => {
    await hosts?.close()
    hosts = undefined
  })

  test.each(shapes.map((s) => [nameOf(s), s] as const))('%s', { timeout: 60_000 }, async (_, shape) => {
    const up = await gateways(shape)
    hosts = up.hosts
    // The first packet waits for the SAs; none is lost.
    expect(lost(hosts, shape, 5, '0.2')).toBe(0)
    expect(lost(hosts, shape, 3, '0.2', 'b')).toBe(0)
    const mebibytes = shape.dataplane ? 2 : 16
    const { sent, received } = await transfer(hosts, shape, mebibytes)
    expect(received).toBe(sent)
    expect(sent).toHaveLength(64)
    // What came through came through the SAs, and the drops that forgery or a fault would cause did not happen.
    const packets = statusOf(up.b).peers[0]!.children[0]!.sas.find(
      (sa) => sa.direction === 'inbound',
    )!.packets
    expect(packets).toBeGreaterThan(mebibytes * 100)
    for (const cause of [
      'bad-icv',
      'replayed',
      'too-old',
      'malformed-inner',
      'selector-mismatch',
      'tun-refused',
    ])
      expect(statusOf(up.b).drops[cause] ?? 0, cause).toBe(0)
    expect(await up.a.stop()).toBe(0)
    expect(await up.b.stop()).toBe(0)
    for (const host of ['a', 'b'] as const) {
      expect(hosts.run(host, 'ip', '-o', 'link')).not.toContain('sally0')
      expect(hosts.run(host, 'ip', 'route')).not.toContain('blackhole')
      expect(hosts.run(host, 'ip', 'rule')).not.toContain('fwmark')
      const nft = hosts.attempt(host, 'nft', 'list', 'tables')
      if (nft.status === 0) expect(nft.stdout).not.toContain('sallyport')
    }
  })
})
