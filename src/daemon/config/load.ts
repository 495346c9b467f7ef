import { resolve } from 'node:path'
import { wipe } from '../../bytes/octets.js'
import { forgetIdentity } from '../../ike/host-identity.js'
import { sameIp } from '../../wire/ip-address.js'
import { checkBounds } from './bounds.js'
import { isRecord } from './children.js'
import type { GatewayConfig } from './config.js'
import { wipeCredentials } from './credentials.js'
import { crossCheck } from './cross-checks.js'
import { readHostKeys } from './identities.js'
import { type ResolvedPeer, resolvePeer } from './peers.js'
import { rootSchema } from './schema.js'
import { readSection } from './section.js'
import { YamlSource } from './yaml-source.js'

/**
 * Reads, checks and resolves a configuration file with the key files that it names. The caller owns the keys in the
 * result and ends them with `wipeConfig`.
 * @throws ConfigFileError with every problem that was found, each with its file, line, key and what was expected
 */
export function loadConfig(file: string): GatewayConfig {
  return resolveConfig(YamlSource.read(resolve(file)))
}

/** As `loadConfig`, from text; key files are looked for beside `file`. */
export function parseConfig(file: string, text: string): GatewayConfig {
  return resolveConfig(YamlSource.parse(resolve(file), text))
}

/**
 * The control socket that a configuration file names, for commands that talk to its daemon. Reads no key file.
 * @throws ConfigFileError
 */
export function controlPathOf(file: string): string {
  const source = YamlSource.read(resolve(file))
  const root = readSection(source, rootSchema, source.value, [])
  if (!root) source.throwIfAny()
  return root!.host.control
}

/** Overwrites every key of a configuration that is of no more use. */
export function wipeConfig(config: GatewayConfig): void {
  for (const peer of config.ike) wipeCredentials(peer)
  wipeManual(config)
}

/** Overwrites the keys of manual SAs: the data path has its own copy once they are installed. */
export function wipeManual(config: GatewayConfig): void {
  for (const sa of config.manual) wipe(sa.encryption?.key, sa.integrity?.key)
}

function resolveConfig(source: YamlSource): GatewayConfig {
  const root = readSection(source, rootSchema, source.value, [])
  const raw = isRecord(source.value) ? source.value.peers : undefined
  const peers: ResolvedPeer[] = []
  let policies = 0
  const nextPolicy = () => ++policies
  // Without a host section that reads, its id is not known: that is said once, not at every peer.
  const hostId = root ? root.host.id : { type: 0, value: new Uint8Array() }
  const keys = readHostKeys(source, root?.host)
  if (isRecord(raw))
    for (const [name, value] of Object.entries(raw)) {
      const peer = resolvePeer(source, name, value, { id: hostId, keys }, nextPolicy)
      if (peer) peers.push(peer)
    }
  if (keys.identity) forgetIdentity(keys.identity)
  // What is too much is not compared with each other as well.
  if (checkBounds(source, peers)) crossCheck(source, peers)
  for (const [i, a] of root?.tun.addresses.entries() ?? [])
    if (peers.some((p) => sameIp(p.settings.local, a.address)))
      source.problem(
        ['tun', 'addresses', i],
        'this is an underlay address; the TUN device needs one of its own, or none',
      )
  if (!root || source.problems.length > 0) {
    for (const peer of peers) {
      if (peer.ike) wipeCredentials(peer.ike)
      for (const sa of peer.manual) wipe(sa.encryption?.key, sa.integrity?.key)
    }
    source.throwIfAny()
  }
  const { host, tun, log, dataplane, key_log } = root!
  return {
    file: source.file,
    host: { id: host.id, publicKey: keys.identity?.publicKey, state: host.state, control: host.control },
    tun,
    log,
    dataplane: {
      engine: dataplane.engine,
      fwmark: dataplane.fwmark,
      table: dataplane.table,
      lanes: dataplane.lanes,
      offload: {
        tun: dataplane.offload.tun === 'auto' ? 'uso' : dataplane.offload.tun,
        udpGso: dataplane.offload.udp_gso,
        udpGro: dataplane.offload.udp_gro,
        joinTcp: dataplane.offload.join_tcp,
        joinUdp: dataplane.offload.join_udp,
        rawDirect: dataplane.offload.raw_direct,
      },
    },
    keyLog: key_log?.directory,
    peers: peers.map((p) => p.settings),
    ike: peers.flatMap((p) => p.ike ?? []),
    policies: peers.flatMap((p) => p.policies),
    manual: peers.flatMap((p) => p.manual),
  }
}
