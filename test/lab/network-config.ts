import type { GatewayConfig, PeerSettings, PolicySettings } from '../../src/daemon/config/config.js'
import { type IpAddress, parseIp, parsePrefix } from '../../src/wire/ip-address.js'
import { selectorContains, selectorOf, type TrafficSelector } from '../../src/wire/traffic-selector.js'

export interface NetworkScenario {
  readonly state: string
  readonly tun?: string
  /** Addresses of the TUN device. */
  readonly addresses?: readonly string[]
  readonly mtu?: number | 'auto'
  readonly fwmark?: number
  readonly table?: number
  readonly peers: readonly PeerScenario[]
}

export interface PeerScenario {
  readonly local: string
  readonly remote: string
  /** Selectors of its children: prefixes, "A-B" ranges, or with "[proto/port]" behind. */
  readonly children: readonly { readonly local: readonly string[]; readonly remote: readonly string[] }[]
}

export const ip = (text: string): IpAddress => parseIp(text)!

export function selector(text: string): TrafficSelector {
  const [, addresses, , protocol = '0', , port] = /^([^[]+)(\[(\d+)(\/(\d+))?\])?$/.exec(text)!
  const [start, end] = addresses!.split('-')
  const range = end
    ? { start: ip(start!), end: ip(end), protocol: 0, startPort: 0, endPort: 0xffff }
    : selectorOf(parsePrefix(start!)!)
  const ports = port === undefined ? {} : { startPort: Number(port), endPort: Number(port) }
  return { ...range, protocol: Number(protocol), ...ports }
}

/** A configuration as far as network settings need one. Peers are called p0, p1, ..., children c0, c1, ... */
export function networkConfig(s: NetworkScenario): GatewayConfig {
  const peers: PeerSettings[] = s.peers.map((p, i) => ({
    name: `p${i}`,
    local: ip(p.local),
    remote: ip(p.remote),
    fingerprint: undefined,
  }))
  const policies: PolicySettings[] = s.peers.flatMap((p, i) =>
    p.children.map((c, j) => {
      const { local, remote } = peers[i]!
      const remoteTs = c.remote.map(selector)
      const host = selectorOf({ address: remote, length: remote.length * 8 })
      return {
        id: i * 16 + j + 1,
        peer: `p${i}`,
        child: `c${j}`,
        mode: 'tunnel',
        protocol: 'esp',
        localTs: c.local.map(selector),
        remoteTs,
        transparent: remoteTs.some((ts) => selectorContains({ ...ts, protocol: 0 }, host)),
        manual: false,
        encapsulation: 'auto',
        local,
        remote,
      }
    }),
  )
  const { fwmark = 0x5a11, table = 23_057 } = s
  const gcm = {
    protocol: 'esp' as const,
    encryption: { id: 20, keyBits: 128 },
    integrity: 0,
    group: 0,
    esn: true,
  }
  return {
    file: 'test.yaml',
    host: { id: undefined, publicKey: undefined, state: s.state, control: '' },
    tun: {
      name: s.tun ?? 'sally0',
      addresses: (s.addresses ?? []).map((a) => ({
        address: ip(a.split('/')[0]!),
        prefixLength: Number(a.split('/')[1]),
      })),
      mtu: s.mtu ?? 'auto',
    },
    log: { level: 'info', format: 'json' },
    dataplane: {
      engine: 'auto',
      fwmark,
      table,
      lanes: 1,
      offload: { tun: 'uso', udpGso: true, udpGro: true, joinTcp: true, joinUdp: true, rawDirect: true },
    },
    keyLog: undefined,
    peers,
    ike: peers.map((p) => ({
      name: p.name,
      localId: { type: 2, value: new Uint8Array(1) },
      remoteId: { type: 2, value: new Uint8Array(1) },
      local: p.local,
      remote: p.remote,
      key: new Uint8Array(32),
      dynamicPsk: 'hardened',
      version: 1,
      proposals: [],
      ikeLifetimeSeconds: 3600,
      encapsulation: 'auto',
      dpdDelaySeconds: 0,
      fragmentSize: 1280,
      children: policies
        .filter((policy) => policy.peer === p.name)
        .map((policy) => ({
          ...policy,
          name: policy.child,
          policy: policy.id,
          proposals: [gcm],
          replayWindow: 64,
          lifetime: {},
          start: 'trap' as const,
        })),
    })),
    policies,
    manual: [],
  }
}
