import { concat, equalSecret } from '../../bytes/octets.js'
import { countsNonces, encryptionInfo, integrityInfo } from '../../crypto/algorithms.js'
import { ConfigError } from '../../errors.js'
import { type ChildProposal, parseChildProposal } from '../../ike/proposals.js'
import type { SaSpec } from '../../sadb/sa-spec.js'
import type { PolicySettings } from './config.js'
import { KeyFileRefusal, keyFilePath, readKeyFile } from './key-file.js'
import { type ManualKeys, parseManualKeys, wipeManualKeys } from './manual-keys.js'
import type { KeyPath } from './problems.js'
import type { ManualSection } from './schema.js'
import type { YamlSource } from './yaml-source.js'

const NAT_T_PORT = 4500

/**
 * The SAs of a child with manual keys, or undefined with the problems noted. Without key management nothing keeps a
 * sequence number from being used twice after a restart: no anti-replay (RFC 4303 section 3.3.3), so no ESN, and none of
 * the ciphers whose nonce comes from a counter (RFC 8221 section 4).
 */
export function resolveManual(
  source: YamlSource,
  path: KeyPath,
  entries: readonly ManualSection[],
  policy: PolicySettings,
): SaSpec[] | undefined {
  const sas: SaSpec[] = []
  for (const [i, entry] of entries.entries()) {
    const sa = resolveSa(source, [...path, i], entry, policy)
    if (sa) sas.push(sa)
  }
  const [first, second] = sas
  if (!first || !second) return undefined
  if (first.direction === second.direction) {
    source.problem(
      [...path, 1, 'direction'],
      `expected one outbound and one inbound SA, found two ${first.direction}`,
    )
    return undefined
  }
  if (sharesKey(first, second)) {
    source.problem(
      [...path, 1, 'keys_file'],
      'both directions have the same key, so the peer would take its own packets for ours; give each SA keys of its own',
    )
    return undefined
  }
  return sas
}

function resolveSa(
  source: YamlSource,
  path: KeyPath,
  entry: ManualSection,
  policy: PolicySettings,
): SaSpec | undefined {
  const proposal = algorithms(source, path, entry, policy)
  const keys = loadKeys(source, path, entry)
  if (!keys) return undefined
  try {
    const own = keys.get(entry.spi)
    if (!own) {
      source.problem([...path, 'keys_file'], `has no keys for SPI 0x${entry.spi.toString(16)}`)
      return undefined
    }
    if (!proposal || !checkLengths(source, path, proposal, own)) return undefined
    return {
      direction: entry.direction,
      protocol: policy.protocol,
      mode: policy.mode,
      spi: entry.spi,
      policy: policy.id,
      ...(proposal.encryption && {
        encryption: { id: proposal.encryption.id, key: concat(own.encryption ?? new Uint8Array()) },
      }),
      integrity: { id: proposal.integrity, key: concat(own.integrity ?? new Uint8Array()) },
      esn: false,
      replayWindow: 0,
      local: policy.local,
      remote: policy.remote,
      ...(policy.encapsulation === 'udp' && { udp: { localPort: NAT_T_PORT, remotePort: NAT_T_PORT } }),
      localTs: policy.localTs,
      remoteTs: policy.remoteTs,
      lifetime: {},
    }
  } finally {
    wipeManualKeys(keys)
  }
}

function algorithms(
  source: YamlSource,
  path: KeyPath,
  entry: ManualSection,
  policy: PolicySettings,
): ChildProposal | undefined {
  const at = [...path, 'algorithms']
  const text = entry.algorithms
  const refuseCounter = (): undefined => {
    source.problem(
      at,
      'a counter-mode cipher must not have a manual key: after a restart it would use nonces again, which gives its plaintext and key away (RFC 8221 section 4); expected a CBC cipher, such as aes128-sha256',
    )
  }
  // Said before the parser's word, as some of these are not known to it at all.
  if (/gcm|ccm|ctr|gmac|chacha/i.test(text)) return refuseCounter()
  try {
    const proposal = parseChildProposal(policy.protocol, text)
    if (countsNonces(proposal.encryption?.id ?? 0, proposal.integrity)) return refuseCounter()
    if (proposal.group !== 0) {
      source.problem(
        at,
        'a manual SA has no Diffie-Hellman group; expected a cipher and an integrity algorithm',
      )
      return undefined
    }
    if (proposal.integrity === 0) {
      source.problem(
        at,
        'has no integrity algorithm, which is refused (RFC 8221 section 5); expected e.g. aes128-sha256',
      )
      return undefined
    }
    return proposal
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    source.problem(at, error.message)
    return undefined
  }
}

function loadKeys(
  source: YamlSource,
  path: KeyPath,
  entry: ManualSection,
): Map<number, ManualKeys> | undefined {
  const file = keyFilePath(source.file, entry.keys_file)
  try {
    const content = readKeyFile(file)
    const keys = parseManualKeys(content)
    content.fill(0)
    if (typeof keys !== 'string') return keys
    source.problem([...path, 'keys_file'], `${file}: ${keys}`)
  } catch (error) {
    if (!(error instanceof KeyFileRefusal)) throw error
    source.problem([...path, 'keys_file'], error.message)
  }
  return undefined
}

function checkLengths(source: YamlSource, path: KeyPath, proposal: ChildProposal, keys: ManualKeys): boolean {
  const encryption = (proposal.encryption?.keyBits ?? 0) / 8
  const integrity = integrityInfo(proposal.integrity)?.keyLength ?? 0
  let good = true
  const check = (kind: 'encryption' | 'integrity', name: string, expected: number): void => {
    const found = keys[kind]?.length ?? 0
    if (found === expected) return
    good = false
    const message =
      expected === 0
        ? `has an ${kind} key for SPI 0x${keys.spi.toString(16)}, which takes none`
        : `the ${kind} key of SPI 0x${keys.spi.toString(16)} has ${found} octets; ${name} takes exactly ${expected}`
    source.problem([...path, 'keys_file'], message)
  }
  check('encryption', encryptionInfo(proposal.encryption?.id ?? 0)?.name ?? 'AH', encryption)
  check('integrity', integrityInfo(proposal.integrity)?.name ?? '', integrity)
  return good
}

function sharesKey(a: SaSpec, b: SaSpec): boolean {
  const same = (x: Uint8Array | undefined, y: Uint8Array | undefined): boolean =>
    x !== undefined && y !== undefined && x.length > 0 && equalSecret(x, y)
  return same(a.encryption?.key, b.encryption?.key) || same(a.integrity?.key, b.integrity?.key)
}
