import { wipe } from '../../bytes/octets.js'
import { ConfigError } from '../../errors.js'
import type { ChildConfig, IkePeerConfig } from '../../ike/config.js'
import type { Identity } from '../../ike/identity.js'
import { keyFingerprint, parseKeyText } from '../../ike/prephase/key.js'
import {
  type ChildProposal,
  type IkeProposal,
  parseChildProposal,
  parseIkeProposal,
} from '../../ike/proposals.js'
import type { SaProtocol, SaSpec } from '../../sadb/sa-spec.js'
import { selectorContains, selectorOf, type TrafficSelector } from '../../wire/traffic-selector.js'
import type { PeerSettings, PolicySettings } from './config.js'
import { NAME_EXPECTED, NAME_PATTERN } from './fields.js'
import { KeyFileRefusal, keyFilePath, readKeyFile } from './key-file.js'
import { resolveManual } from './manual.js'
import type { KeyPath } from './problems.js'
import { parsePskFile } from './psk-file.js'
import { type ChildSection, childSchema, type PeerSection, peerSchema } from './schema.js'
import { readSection } from './section.js'
import type { YamlSource } from './yaml-source.js'

const DEFAULT_IKE_PROPOSALS = ['aes256-sha256-ecp256', 'aes128-sha256-modp2048']
const DEFAULT_ESP_PROPOSALS = ['aes128gcm16', 'aes256gcm16', 'chacha20poly1305', 'aes128-sha256']
const DEFAULT_AH_PROPOSALS = ['sha256']

/** A peer as far as it could be read. `ike` and `manual` are absent or empty where problems were noted. */
export interface ResolvedPeer {
  readonly path: KeyPath
  readonly settings: PeerSettings
  readonly encapsulation: PeerSection['encapsulation']
  readonly ike: IkePeerConfig | undefined
  readonly policies: readonly PolicySettings[]
  readonly manual: readonly SaSpec[]
}

/**
 * Reads and resolves one peer; undefined when its own section has problems.
 * @param hostId default of the local identity
 * @param nextPolicy gives the next free policy id
 */
export function resolvePeer(
  source: YamlSource,
  name: string,
  value: unknown,
  hostId: Identity | undefined,
  nextPolicy: () => number,
): ResolvedPeer | undefined {
  const path = ['peers', name]
  if (!NAME_PATTERN.test(name)) source.problem(path, `expected ${NAME_EXPECTED}`, 'key')
  const section = readSection(source, peerSchema, value, path)
  const children = readChildren(source, path, section, value)
  if (!section) return undefined
  if (section.local.length !== section.remote.length)
    source.problem(
      [...path, 'remote'],
      'local and remote are of different families; expected two IPv4 or two IPv6 addresses',
    )

  const policies: PolicySettings[] = []
  const manual: SaSpec[] = []
  const ikeChildren: ChildConfig[] = []
  for (const child of children) {
    const policy = policyOf(name, section, child, nextPolicy())
    policies.push(policy)
    checkChild(source, child, section, policy)
    if (child.section.manual) {
      refuseKeysOfManual(source, child)
      manual.push(...(resolveManual(source, [...child.path, 'manual'], child.section.manual, policy) ?? []))
    } else {
      const config = childConfig(source, child, policy)
      if (config) ikeChildren.push(config)
    }
  }
  const keyed = children.some((c) => !c.section.manual)
  const ike = keyed ? ikePeer(source, path, name, section, hostId, ikeChildren) : undefined
  if (!keyed && children.length > 0) refuseKeysWithoutIke(source, path)
  const settings: PeerSettings = {
    name,
    local: section.local,
    remote: section.remote,
    // A PSK of another daemon's may be a phrase: its fingerprint would be something to test guesses with.
    fingerprint: ike && ike.dynamicPsk !== 'off' ? keyFingerprint(ike.key) : undefined,
  }
  return { path, settings, encapsulation: section.encapsulation, ike, policies, manual }
}

interface Child {
  readonly name: string
  readonly path: KeyPath
  readonly section: ChildSection
}

/** Children are read even where the peer around them is wrong, so that all their problems show at once. */
function readChildren(
  source: YamlSource,
  peerPath: KeyPath,
  section: PeerSection | undefined,
  value: unknown,
): Child[] {
  const raw = section?.children ?? (isRecord(value) ? value.children : undefined)
  if (!isRecord(raw)) return []
  const children: Child[] = []
  for (const [name, child] of Object.entries(raw)) {
    const path = [...peerPath, 'children', name]
    if (!NAME_PATTERN.test(name)) source.problem(path, `expected ${NAME_EXPECTED}`, 'key')
    const read = readSection(source, childSchema, child, path)
    if (read) children.push({ name, path, section: read })
  }
  return children
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function policyOf(peer: string, p: PeerSection, child: Child, id: number): PolicySettings {
  const host = hostSelector(p.remote)
  return {
    id,
    peer,
    child: child.name,
    mode: child.section.mode,
    protocol: child.section.protocol,
    localTs: child.section.local,
    remoteTs: child.section.remote,
    transparent: child.section.remote.some((ts) =>
      selectorContains({ ...ts, protocol: 0, startPort: 0, endPort: 0xffff }, host),
    ),
    manual: child.section.manual !== undefined,
    encapsulation: child.section.protocol === 'ah' ? 'raw' : p.encapsulation,
    local: p.local,
    remote: p.remote,
  }
}

const hostSelector = (address: Uint8Array): TrafficSelector =>
  selectorOf({ address, length: address.length * 8 })

/** What a child's mode, protocol and selectors allow of each other. */
function checkChild(source: YamlSource, child: Child, peer: PeerSection, policy: PolicySettings): void {
  const { path, section } = child
  const family = section.local[0]?.start.length
  for (const side of ['local', 'remote'] as const)
    for (const [i, ts] of section[side].entries())
      if (ts.start.length !== family)
        source.problem(
          [...path, side, i],
          'all selectors of a child are of one family; make one child for IPv4 and one for IPv6',
        )

  if (section.protocol === 'ah' && peer.encapsulation === 'udp')
    source.problem(
      [...path, 'protocol'],
      'AH cannot be encapsulated in UDP (it protects the addresses that a NAT changes); set encapsulation: raw or auto, or use esp',
    )
  if (section.mode === 'transport') {
    const text =
      'transport mode protects the traffic between the two hosts themselves; expected just the underlay address of'
    if (!isHost(section.local, peer.local)) source.problem([...path, 'local'], `${text} this host (local)`)
    if (!isHost(section.remote, peer.remote)) source.problem([...path, 'remote'], `${text} the peer (remote)`)
  }
  if (!policy.manual && peer.ike.version === 1)
    for (const side of ['local', 'remote'] as const)
      if (section[side].length > 1)
        source.problem([...path, side, 1], 'IKEv1 negotiates one selector a side; make a child for each pair')
}

/** Every selector is exactly the host, whatever protocol and port it is limited to. */
function isHost(list: readonly TrafficSelector[], address: Uint8Array): boolean {
  const host = hostSelector(address)
  return list.every((ts) => selectorContains(host, ts))
}

function refuseKeysOfManual(source: YamlSource, child: Child): void {
  for (const key of ['proposals', 'lifetime', 'replay_window', 'start'])
    if (source.has([...child.path, key]))
      source.problem(
        [...child.path, key],
        'belongs to negotiated SAs; manual SAs have fixed algorithms, no lifetime and no replay protection; remove it',
        'key',
      )
}

function refuseKeysWithoutIke(source: YamlSource, path: KeyPath): void {
  for (const key of ['id', 'local_id', 'key_file', 'dynamic_psk', 'ike'])
    if (source.has([...path, key]))
      source.problem(
        [...path, key],
        'has no use, as all children of this peer have manual SAs; remove it',
        'key',
      )
}

function childConfig(source: YamlSource, child: Child, policy: PolicySettings): ChildConfig | undefined {
  const { section, path } = child
  const texts =
    section.proposals ?? (section.protocol === 'ah' ? DEFAULT_AH_PROPOSALS : DEFAULT_ESP_PROPOSALS)
  const proposals = parseAll(
    source,
    [...path, 'proposals'],
    texts,
    (text): ChildProposal => parseChildProposal(section.protocol satisfies SaProtocol, text),
  )
  if (!proposals) return undefined
  return {
    name: child.name,
    policy: policy.id,
    protocol: section.protocol,
    mode: section.mode,
    proposals,
    localTs: section.local,
    remoteTs: section.remote,
    replayWindow: section.replay_window,
    lifetime: {
      hardSeconds: section.lifetime.time,
      ...(section.lifetime.bytes !== undefined && { hardOctets: section.lifetime.bytes }),
      ...(section.lifetime.packets !== undefined && { hardPackets: section.lifetime.packets }),
    },
    start: section.start,
  }
}

function ikePeer(
  source: YamlSource,
  path: KeyPath,
  name: string,
  p: PeerSection,
  hostId: Identity | undefined,
  children: readonly ChildConfig[],
): IkePeerConfig | undefined {
  const localId = p.local_id ?? hostId
  if (!localId)
    source.problem(
      [...path, 'local_id'],
      'is missing, and host.id as well; expected the identity of this host',
    )
  if (!p.id) source.problem([...path, 'id'], 'is missing; expected the identity that the peer proves')
  if (p.ike.version !== 1)
    source.problem([...path, 'ike', 'version'], 'IKEv2 is not available in this release; expected 1')
  const texts = p.ike.proposals ?? DEFAULT_IKE_PROPOSALS
  const proposals = parseAll(source, [...path, 'ike', 'proposals'], texts, (text): IkeProposal => {
    const proposal = parseIkeProposal(text)
    if (p.ike.version === 1 && proposal.integrity === 0)
      throw new ConfigError(
        'IKEv1 has no authenticated ciphers for its own messages; expected e.g. aes128-sha256-modp2048',
      )
    return proposal
  })
  const key = loadKey(source, path, p)
  if (!localId || !p.id || !proposals || !key || p.ike.version !== 1) {
    wipe(key)
    return undefined
  }
  return {
    name,
    localId,
    remoteId: p.id,
    local: p.local,
    remote: p.remote,
    key,
    dynamicPsk: p.dynamic_psk,
    version: p.ike.version,
    proposals,
    ikeLifetimeSeconds: p.ike.lifetime,
    encapsulation: p.encapsulation,
    dpdDelaySeconds: p.ike.dpd,
    children,
  }
}

function parseAll<T>(
  source: YamlSource,
  path: KeyPath,
  texts: readonly string[],
  parse: (text: string) => T,
): readonly T[] | undefined {
  const parsed: T[] = []
  for (const [i, text] of texts.entries())
    try {
      parsed.push(parse(text))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      source.problem([...path, i], error.message)
    }
  return parsed.length === texts.length ? parsed : undefined
}

/** K_ab, or with `dynamic_psk: off` a plain PSK, which may as well be a key made by genkey. */
function loadKey(source: YamlSource, path: KeyPath, p: PeerSection): Uint8Array | undefined {
  const at = [...path, 'key_file']
  if (p.key_file === undefined) {
    source.problem(
      at,
      'is missing; expected the path of the key that this host shares with the peer, relative to this file',
    )
    return undefined
  }
  const file = keyFilePath(source.file, p.key_file)
  let content: Buffer | undefined
  try {
    content = readKeyFile(file)
    if (p.dynamic_psk !== 'off') return parseKeyText(content)
    const key = parsePskFile(content)
    if (typeof key !== 'string') return key
    source.problem(at, `${file} ${key}`)
  } catch (error) {
    if (error instanceof KeyFileRefusal) source.problem(at, error.message)
    else if (error instanceof ConfigError) source.problem(at, `${file}: ${error.message}`)
    else throw error
  } finally {
    content?.fill(0)
  }
  return undefined
}
