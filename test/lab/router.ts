import { ipBatch, run } from './run.js'

/** What a router between the hosts is to do. */
export interface RouterOptions {
  /** MTU of the router's ways to both hosts: what is larger comes back as ICMP, or is fragmented. */
  readonly mtu: number
  /** It says nothing of what it does not forward, as behind a filter that drops all ICMP. */
  readonly silent?: boolean
}

/** The router's own addresses, from which its ICMP messages come. */
export const ROUTER = { v4: '192.0.2.254', v6: '2001:db8::fe' } as const

/**
 * Makes a router of the namespace between the hosts, which has a device towards each of them. The kernel forwards, and keeps to
 * the MTU of its routes.
 * @param hosts name of the device, IPv4 and IPv6 address of each host
 */
export function makeRouter(
  namespace: string,
  options: RouterOptions,
  hosts: readonly { readonly device: string; readonly v4: string; readonly v6: string }[],
): void {
  const set = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'].map(
    (name) => `echo 1 > /proc/sys/${name}`,
  )
  set.push('for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done')
  set.push('for f in /proc/sys/net/ipv4/conf/*/send_redirects; do echo 0 > $f; done')
  set.push('echo 0 > /proc/sys/net/ipv6/icmp/ratelimit')
  run('ip', ['netns', 'exec', namespace, 'sh', '-c', set.join(' && ')])
  ipBatch(
    namespace,
    hosts.flatMap(({ device, v4, v6 }) => [
      `address add ${ROUTER.v4}/32 dev ${device}`,
      `address add ${ROUTER.v6}/128 dev ${device} nodad`,
      `route add ${v4}/32 dev ${device} mtu lock ${options.mtu}`,
      `route add ${v6}/128 dev ${device} mtu lock ${options.mtu}`,
    ]),
  )
  if (!options.silent) return
  const drop = ['icmp type destination-unreachable', 'icmpv6 type packet-too-big']
  const rules = drop.map((match) => `add rule inet quiet out ${match} drop`)
  run(
    'ip',
    ['netns', 'exec', namespace, 'nft', '-f', '-'],
    [
      'add table inet quiet',
      'add chain inet quiet out { type filter hook output priority 0; }',
      ...rules,
    ].join('\n'),
  )
}
