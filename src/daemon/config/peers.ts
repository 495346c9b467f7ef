import { ConfigError } from '../../errors.js'
import type { ChildConfig, IkePeerConfig } from '../../ike/config.js'
import type { Identity } from '../../ike/identity.js'
import { keyFingerprint } from '../../ike/prephase/key.js'
import { type IkeProposal, parseIkeProposal } from '../../ike/proposals.js'
import type { SaSpec } from '../../sadb/sa-spec.js'
import { checkChild, childConfig, parseAll, policyOf, readChildren, refuseKeysOfManual } from './children.js'
import type { PeerSettings, PolicySettings } from './config.js'
import { readCredentials, wipeCredentials } from './credentials.js'
import { NAME_EXPECTED, NAME_PATTERN } from './fields.js'
import type { HostKeys } from './identities.js'
import { resolveManual } from './manual.js'
import type { KeyPath } from './problems.js'
import { type PeerSection, peerSchema } from './schema.js'
import { readSection } from './section.js'
import type { YamlSource } from './yaml-source.js'

const DEFAULT_IKE_PROPOSALS = {
  1: ['aes256-sha256-ecp256', 'aes128-sha256-modp2048'],
  2: [
    'aes256gcm16-prfsha384-x25519-ke1_mlkem768',
    'aes256gcm16-prfsha384-x25519',
    'aes128gcm16-prfsha256-ecp256',
    'aes256-sha256-ecp256',
    'aes128-sha256-modp2048',
  ],
} as const

/** What peers take from the host's section. */
export interface Host {
  readonly id: Identity | undefined
  readonly keys: HostKeys
}

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
 * @param host default of the local identity, and what the host has for peers without a key of their own
 * @param nextPolicy gives the next free policy id
 */
export function resolvePeer(
  source: YamlSource,
  name: string,
  value: unknown,
  host: Host,
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
      const config = childConfig(source, child, policy, section.ike.version)
      if (config) ikeChildren.push(config)
    }
  }
  const keyed = children.some((c) => !c.section.manual)
  const ike = keyed ? ikePeer(source, path, name, section, host, ikeChildren) : undefined
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

function refuseKeysWithoutIke(source: YamlSource, path: KeyPath): void {
  for (const key of ['id', 'local_id', 'auth', 'key_file', 'public_key', 'dynamic_psk', 'ppk', 'ike'])
    if (source.has([...path, key]))
      source.problem(
        [...path, key],
        'has no use, as all children of this peer have manual SAs; remove it',
        'key',
      )
}

function ikePeer(
  source: YamlSource,
  path: KeyPath,
  name: string,
  p: PeerSection,
  host: Host,
  children: readonly ChildConfig[],
): IkePeerConfig | undefined {
  const localId = p.local_id ?? host.id
  if (!localId)
    source.problem(
      [...path, 'local_id'],
      'is missing, and host.id as well; expected the identity of this host',
    )
  if (!p.id) source.problem([...path, 'id'], 'is missing; expected the identity that the peer proves')
  const version = p.ike.version === 1 ? 1 : 2
  const texts = p.ike.proposals ?? DEFAULT_IKE_PROPOSALS[version]
  const proposals = parseAll(source, [...path, 'ike', 'proposals'], texts, (text): IkeProposal => {
    const proposal = parseIkeProposal(text)
    if (version === 1 && proposal.additional !== undefined)
      throw new ConfigError('IKEv1 has no second key exchange; expected e.g. aes128-sha256-modp2048')
    if (version === 1 && proposal.integrity === 0)
      throw new ConfigError(
        'IKEv1 has no authenticated ciphers for its own messages; expected e.g. aes128-sha256-modp2048',
      )
    return proposal
  })
  const credentials = readCredentials(source, path, p, host.keys)
  if (!localId || !p.id || !proposals || !credentials) {
    if (credentials) wipeCredentials(credentials)
    return undefined
  }
  return {
    name,
    localId,
    remoteId: p.id,
    local: p.local,
    remote: p.remote,
    ...credentials,
    dynamicPsk: p.dynamic_psk,
    version,
    proposals,
    ikeLifetimeSeconds: p.ike.lifetime,
    encapsulation: p.encapsulation,
    dpdDelaySeconds: p.ike.dpd,
    fragmentSize: p.ike.fragment_size,
    children,
  }
}
