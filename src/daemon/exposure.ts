import { compareIp, type IpAddress } from '../wire/ip-address.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'
import type { GatewayConfig, PeerSettings, PolicySettings } from './config/config.js'

// Which policies protect underlay addresses themselves, so that the gateway's own packets have to be told from the others.

/** Peers whose underlay address some policy protects, its own or another peer's. In the order of the configuration. */
export function exposedPeers(config: GatewayConfig): PeerSettings[] {
  const underlay = new Underlay(config.peers)
  const exposed = new Set(
    config.policies.flatMap((policy) => policy.remoteTs.flatMap((ts) => underlay.peersIn(ts))),
  )
  return config.peers.filter((peer) => exposed.has(peer))
}

/** Policies that protect an underlay address. */
export function transparentPolicies(config: GatewayConfig): ReadonlySet<PolicySettings> {
  const underlay = new Underlay(config.peers)
  return new Set(
    config.policies.filter((policy) => policy.remoteTs.some((ts) => underlay.peersIn(ts).length > 0)),
  )
}

/** Peers by their underlay addresses. */
export class Underlay {
  private readonly byFamily: ReadonlyMap<number, readonly PeerSettings[]>

  constructor(peers: readonly PeerSettings[]) {
    this.byFamily = new Map(
      [4, 16].map((length) => [
        length,
        peers.filter((p) => p.remote.length === length).sort((a, b) => compareIp(a.remote, b.remote)),
      ]),
    )
  }

  /** Those whose address is one of the selector's, in ascending order; protocol and ports are not asked for. */
  peersIn(ts: TrafficSelector): readonly PeerSettings[] {
    const sorted = this.byFamily.get(ts.start.length) ?? []
    const from = firstFrom(sorted, ts.start)
    let end = from
    while (end < sorted.length && compareIp(sorted[end]!.remote, ts.end) <= 0) end++
    return sorted.slice(from, end)
  }
}

/** Index of the first peer whose address is not below. */
function firstFrom(sorted: readonly PeerSettings[], address: IpAddress): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareIp(sorted[middle]!.remote, address) < 0) low = middle + 1
    else high = middle
  }
  return low
}
