import { encryptionInfo, integrityInfo } from '../crypto/algorithms.js'
import type { DataplaneStatus, SaStatus } from '../dataplane/dataplane.js'
import { authOf } from '../ike/config.js'
import { formatIdentity } from '../ike/identity.js'
import { basePolicy } from '../sadb/lane-policy.js'
import type { SaLifetime } from '../sadb/sa-spec.js'
import { formatIp } from '../wire/ip-address.js'
import { formatSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PeerSettings, PolicySettings } from './config/config.js'
import type { IkeView } from './ike-view.js'
import { withOneWayTrouble } from './one-way.js'

// What the daemon tells of itself: plain data, ready for JSON. No key, and of a plain PSK not even a fingerprint.

export interface GatewayStatus {
  readonly version: string
  readonly pid: number
  readonly config: string
  readonly uptimeSeconds: number
  readonly hostId: string | undefined
  /** Directory that the keys of all SAs are written to; undefined when they are not. */
  readonly keyLog: string | undefined
  readonly tun: string
  /** The crypto engine in use, and what became of the others. */
  readonly engine: string | undefined
  readonly engines: DataplaneStatus['engines']
  /** Offloads and whether they are on. */
  readonly lanes: number
  readonly features: DataplaneStatus['features']
  readonly counters: DataplaneStatus['counters']
  /** Packets of the data path that were dropped, by cause. */
  readonly drops: DataplaneStatus['drops']
  /** Ways to peers that carry less than this host's routes say, as routers have told. */
  readonly paths: readonly { readonly remote: string; readonly mtu: number }[]
  /** Messages of the control plane that were refused or lost, by cause. */
  readonly events: Readonly<Record<string, number>>
  readonly peers: readonly PeerView[]
}

export interface PeerView {
  readonly name: string
  readonly local: string
  readonly remote: string
  readonly localId: string | undefined
  readonly id: string | undefined
  readonly fingerprint: string | undefined
  readonly dynamicPsk: string | undefined
  /** What IKE authenticates both ends by. */
  readonly auth: 'psk' | 'pubkey' | undefined
  /** Of the IKE SA, as configured. */
  readonly ikeLifetimeSeconds: number | undefined
  /** Undefined for a peer with manual SAs alone. */
  readonly ike: IkeView | undefined
  readonly children: readonly ChildView[]
}

export interface ChildView {
  readonly name: string
  readonly policy: number
  readonly protocol: string
  readonly mode: string
  readonly local: readonly string[]
  readonly remote: readonly string[]
  readonly transparent: boolean
  readonly manual: boolean
  /** Of negotiated SAs, as configured: the hard limits. */
  readonly lifetime: SaLifetime | undefined
  readonly sas: readonly SaView[]
}

export interface SaView {
  /** Worker thread of the data path that it belongs to. */
  readonly lane: number
  readonly direction: 'inbound' | 'outbound'
  readonly spi: number
  /** "AES_GCM_16-128", "AES_CBC-256"; absent for AH. */
  readonly encryption: string | undefined
  readonly integrity: string | undefined
  readonly esn: boolean
  readonly encapsulation: 'udp' | 'raw'
  readonly packets: number
  readonly octets: number
  readonly sequence: number
  readonly ageSeconds: number
  /** Since the last packet; absent when there was none. */
  readonly idleSeconds: number | undefined
  /** Until its hard limit of time; absent when it has none. */
  readonly expiresInSeconds: number | undefined
}

export interface StatusSources {
  readonly version: string
  readonly uptimeSeconds: number
  readonly config: GatewayConfig
  readonly dataplane: DataplaneStatus
  readonly ike: ReadonlyMap<string, IkeView>
  readonly events: Readonly<Record<string, number>>
}

export function gatewayStatus(s: StatusSources): GatewayStatus {
  const { config, dataplane } = s
  return {
    version: s.version,
    pid: process.pid,
    config: config.file,
    uptimeSeconds: s.uptimeSeconds,
    hostId: config.host.id && formatIdentity(config.host.id),
    keyLog: config.keyLog,
    tun: dataplane.tun,
    engine: dataplane.engines.find((e) => e.refused === undefined)?.name,
    engines: dataplane.engines,
    features: dataplane.features,
    counters: dataplane.counters,
    drops: dataplane.drops,
    lanes: s.dataplane.lanes,
    paths: s.dataplane.paths.map(({ remote, mtu }) => ({ remote: formatIp(remote), mtu })),
    events: s.events,
    peers: config.peers.map((peer) => withOneWayTrouble(peerView(s, peer))),
  }
}

function peerView(s: StatusSources, peer: PeerSettings): PeerView {
  const ike = s.config.ike.find((p) => p.name === peer.name)
  return {
    name: peer.name,
    local: formatIp(peer.local),
    remote: formatIp(peer.remote),
    localId: ike && formatIdentity(ike.localId),
    id: ike && formatIdentity(ike.remoteId),
    fingerprint: peer.fingerprint,
    dynamicPsk: ike?.dynamicPsk,
    auth: ike && authOf(ike),
    ikeLifetimeSeconds: ike?.ikeLifetimeSeconds,
    ike: s.ike.get(peer.name),
    children: s.config.policies
      .filter((policy) => policy.peer === peer.name)
      .map((policy) => {
        const lifetime = ike?.children.find((c) => c.policy === policy.id)?.lifetime
        return childView(policy, lifetime, s.dataplane.sas)
      }),
  }
}

function childView(
  policy: PolicySettings,
  lifetime: SaLifetime | undefined,
  sas: readonly SaStatus[],
): ChildView {
  return {
    name: policy.child,
    policy: policy.id,
    protocol: policy.protocol,
    mode: policy.mode,
    local: policy.localTs.map(formatSelector),
    remote: policy.remoteTs.map(formatSelector),
    transparent: policy.transparent,
    manual: policy.manual,
    lifetime,
    sas: sas.filter((sa) => basePolicy(sa.policy) === policy.id).map(saView),
  }
}

function saView(sa: SaStatus): SaView {
  const ageSeconds = sa.ageMs / 1000
  const hard = sa.lifetime.hardSeconds
  return {
    lane: sa.lane,
    direction: sa.direction,
    spi: sa.spi,
    encryption: encryptionName(sa),
    integrity: sa.integrityId === undefined ? undefined : integrityInfo(sa.integrityId)?.name,
    esn: sa.esn,
    encapsulation: sa.udp ? 'udp' : 'raw',
    packets: sa.packets,
    octets: sa.octets,
    sequence: sa.sequence,
    ageSeconds,
    idleSeconds: sa.idleMs === undefined ? undefined : sa.idleMs / 1000,
    expiresInSeconds: hard === undefined ? undefined : Math.max(0, hard - ageSeconds),
  }
}

function encryptionName(sa: SaStatus): string | undefined {
  const info = sa.encryptionId === undefined ? undefined : encryptionInfo(sa.encryptionId)
  if (!info) return undefined
  return info.hasKeyLengthAttribute ? `${info.name}-${sa.encryptionKeyBits - info.saltLength * 8}` : info.name
}
