import { ConfigError } from '../../errors.js'
import type { ChildConfig } from '../../ike/config.js'
import { type ChildProposal, parseChildProposal } from '../../ike/proposals.js'
import { phase2Obstacle } from '../../ike/v1/phase2-offer.js'
import { selectorContains, selectorOf, type TrafficSelector } from '../../wire/traffic-selector.js'
import type { PolicySettings } from './config.js'
import { NAME_EXPECTED, NAME_PATTERN } from './fields.js'
import type { KeyPath } from './problems.js'
import { type ChildSection, childSchema, type PeerSection } from './schema.js'
import { readSection } from './section.js'
import type { YamlSource } from './yaml-source.js'

const DEFAULT_ESP_PROPOSALS = ['aes128gcm16', 'aes256gcm16', 'chacha20poly1305', 'aes128-sha256']
const DEFAULT_AH_PROPOSALS = ['sha256']

export interface Child {
  readonly name: string
  readonly path: KeyPath
  readonly section: ChildSection
}

/** Children are read even where the peer around them is wrong, so that all their problems show at once. */
export function readChildren(
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

export function policyOf(peer: string, p: PeerSection, child: Child, id: number): PolicySettings {
  const host = hostSelector(p.remote)
  return {
    id,
    peer,
    child: child.name,
    mode: child.section.mode,
    protocol: child.section.protocol,
    localTs: child.section.local,
    remoteTs: child.section.remote,
    handling: {
      df: child.section.df,
      dscp: child.section.copy_dscp,
      ecn: child.section.copy_ecn,
      mss: child.section.mss,
      tfc: child.section.tfc_padding === 'off' ? 0 : child.section.tfc_padding,
      dummyRate: child.section.dummy_rate,
    },
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
export function checkChild(
  source: YamlSource,
  child: Child,
  peer: PeerSection,
  policy: PolicySettings,
): void {
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
  if (section.tfc_padding !== 'off' && (section.protocol === 'ah' || section.mode === 'transport'))
    source.problem(
      [...path, 'tfc_padding'],
      'only ESP in tunnel mode can be padded: elsewhere the receiver could not tell the packet from its padding',
    )
  if (section.dummy_rate > 0 && (section.protocol === 'ah' || section.mode === 'transport'))
    source.problem(
      [...path, 'dummy_rate'],
      'dummy packets are for ESP in tunnel mode, where nothing tells them from others',
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

export function refuseKeysOfManual(source: YamlSource, child: Child): void {
  for (const key of ['proposals', 'lifetime', 'replay_window', 'start'])
    if (source.has([...child.path, key]))
      source.problem(
        [...child.path, key],
        'belongs to negotiated SAs; manual SAs have fixed algorithms, no lifetime and no replay protection; remove it',
        'key',
      )
}

export function childConfig(
  source: YamlSource,
  child: Child,
  policy: PolicySettings,
  ikeVersion: number,
): ChildConfig | undefined {
  const { section, path } = child
  const texts =
    section.proposals ?? (section.protocol === 'ah' ? DEFAULT_AH_PROPOSALS : DEFAULT_ESP_PROPOSALS)
  const proposals = parseAll(
    source,
    [...path, 'proposals'],
    texts,
    (text): ChildProposal => parseChildProposal(section.protocol, text),
  )
  if (!proposals) return undefined
  // Beside others such a proposal is left out of the offer, as it is good for a later version.
  const obstacles = ikeVersion === 1 ? proposals.map(phase2Obstacle) : []
  if (obstacles[0] !== undefined && obstacles.every((o) => o !== undefined))
    source.problem([...path, 'proposals', 0], obstacles[0])
  return {
    name: child.name,
    policy: policy.id,
    protocol: section.protocol,
    mode: section.mode,
    proposals,
    localTs: section.local,
    remoteTs: section.remote,
    replayWindow: section.replay_window,
    ...(section.tfc_padding !== 'off' && { pads: true }),
    lifetime: {
      hardSeconds: section.lifetime.time,
      ...(section.lifetime.bytes !== undefined && { hardOctets: section.lifetime.bytes }),
      ...(section.lifetime.packets !== undefined && { hardPackets: section.lifetime.packets }),
    },
    start: section.start,
  }
}

export function parseAll<T>(
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
