import { equalSecret } from '../../bytes/octets.js'
import { formatIdentity, sameIdentity } from '../../ike/identity.js'
import { formatIp, sameIp } from '../../wire/ip-address.js'
import { formatSelector } from '../../wire/traffic-selector.js'
import { Underlay } from '../exposure.js'
import type { PolicySettings } from './config.js'
import type { ResolvedPeer } from './peers.js'
import type { KeyPath } from './problems.js'
import { overlapOf } from './selectors.js'
import type { YamlSource } from './yaml-source.js'

/** What peers must not have in common, and what may not stand in each other's way. Problems are noted at the later one. */
export function crossCheck(source: YamlSource, peers: readonly ResolvedPeer[]): void {
  for (let i = 0; i < peers.length; i++)
    for (let k = 0; k < i; k++) comparePeers(source, peers[k]!, peers[i]!)
  refuseForeignUnderlay(source, peers)
  for (const peer of peers) checkIdentities(source, peer)
  checkOverlaps(source, peers)
  checkSpis(source, peers)
}

function comparePeers(source: YamlSource, a: ResolvedPeer, b: ResolvedPeer): void {
  if (sameIp(a.settings.remote, b.settings.remote))
    source.problem(
      [...b.path, 'remote'],
      `peer ${a.settings.name} has the address ${formatIp(b.settings.remote)} already; every peer has one of its own`,
    )
  if (a.ike && b.ike && equalSecret(a.ike.key, b.ike.key))
    source.problem(
      [...b.path, 'key_file'],
      `the same key as peer ${a.settings.name} has${b.settings.fingerprint ? ` (fingerprint ${b.settings.fingerprint})` : ''}; a key serves one pair of hosts, make another with: sallyport genkey`,
    )
  if (a.ike && b.ike && sameIdentity(a.ike.remoteId, b.ike.remoteId))
    source.problem(
      [...b.path, 'id'],
      `peer ${a.settings.name} has the identity ${formatIdentity(b.ike.remoteId)} already`,
    )
}

function checkIdentities(source: YamlSource, peer: ResolvedPeer): void {
  if (peer.ike && sameIdentity(peer.ike.localId, peer.ike.remoteId))
    source.problem([...peer.path, 'id'], 'this is the identity of this host; expected the peer’s')
  if (sameIp(peer.settings.local, peer.settings.remote))
    source.problem([...peer.path, 'remote'], 'this is the address of this host; expected the peer’s')
}

/** A block that holds another peer's underlay address would draw that peer's plain traffic into the wrong tunnel. */
function refuseForeignUnderlay(source: YamlSource, peers: readonly ResolvedPeer[]): void {
  const underlay = new Underlay(peers.map((peer) => peer.settings))
  for (const owner of peers)
    for (const policy of owner.policies)
      for (const [i, ts] of policy.remoteTs.entries())
        for (const other of underlay.peersIn(ts))
          if (other !== owner.settings)
            source.problem(
              [...childPath(owner, policy), 'remote', i],
              `holds the underlay address ${formatIp(other.remote)} of peer ${other.name}; expected a block without it`,
            )
}

const childPath = (peer: ResolvedPeer, policy: PolicySettings): KeyPath => [
  ...peer.path,
  'children',
  policy.child,
]

/** Two policies that one packet can match: which SA would carry it is anybody's guess. */
function checkOverlaps(source: YamlSource, peers: readonly ResolvedPeer[]): void {
  const seen: PolicySettings[] = []
  for (const peer of peers)
    for (const policy of peer.policies) {
      for (const other of seen) {
        const local = overlapOf(policy.localTs, other.localTs)
        const remote = overlapOf(policy.remoteTs, other.remoteTs)
        if (!local || !remote) continue
        source.problem(
          [...childPath(peer, policy), 'remote'],
          `${formatSelector(local[0])} to ${formatSelector(remote[0])} overlaps ${formatSelector(local[1])} to ${formatSelector(remote[1])} of child ${other.child} of peer ${other.peer}; a packet must match one child only`,
        )
      }
      seen.push(policy)
    }
}

/** One SPI names one SA: keys are looked up by it, and a packet's receiver knows no more. */
function checkSpis(source: YamlSource, peers: readonly ResolvedPeer[]): void {
  const owners = new Map<number, string>()
  for (const peer of peers)
    for (const sa of peer.manual) {
      const policy = peer.policies.find((p) => p.id === sa.policy)
      if (!policy) continue
      const name = `${peer.settings.name}.${policy.child}`
      const owner = owners.get(sa.spi)
      if (owner !== undefined)
        source.problem(
          [...childPath(peer, policy), 'manual'],
          `SPI 0x${sa.spi.toString(16)} is used twice, first by ${owner}; every manual SA has one of its own`,
        )
      else owners.set(sa.spi, name)
    }
}
