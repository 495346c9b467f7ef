import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { ConfigError } from '../../errors.js'
import {
  type HostIdentity,
  identityFromWords,
  makesPairKey,
  pairKey,
  parsePublicKey,
} from '../../ike/host-identity.js'
import { formatIdentity, type Identity, parseIdentity } from '../../ike/identity.js'
import { KeyFileRefusal, keyFilePath, readKeyFile } from './key-file.js'
import type { KeyPath } from './problems.js'
import type { PeerSection } from './schema.js'
import { decodeBase64, secretLines, secretWords } from './secret-text.js'
import type { YamlSource } from './yaml-source.js'

/** The largest file of public keys: PEERS_MAX lines of some 100 octets, and comments. */
const PUBLIC_KEYS_MAX = 1 << 20

/** This host's key pair, and the public keys of others. */
export interface HostKeys {
  /** Wiped when all peers are read. */
  readonly identity: HostIdentity | undefined
  /** By identity, as formatIdentity writes it. */
  readonly publicKeys: ReadonlyMap<string, Uint8Array>
}

/** Reads the files that `host.identity` and `host.public_keys` name; problems are noted there. */
export function readHostKeys(
  source: YamlSource,
  host: { readonly identity?: string | undefined; readonly public_keys?: string | undefined } | undefined,
): HostKeys {
  return {
    identity: host?.identity === undefined ? undefined : readIdentity(source, host.identity),
    publicKeys: host?.public_keys === undefined ? new Map() : readPublicKeys(source, host.public_keys),
  }
}

/** @throws KeyFileRefusal or ConfigError, which name the file */
export function readIdentityFile(file: string): HostIdentity {
  const content = readKeyFile(file)
  try {
    const lines = secretLines(content)
    if (lines.length !== 1)
      throw new ConfigError(
        'expected one line besides comments; make one with: sallyport identity make -o FILE',
      )
    return identityFromWords(secretWords(lines[0]!.octets), decodeBase64)
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`${file}: ${error.message}`)
    throw error
  } finally {
    content.fill(0)
  }
}

function readIdentity(source: YamlSource, path: string): HostIdentity | undefined {
  try {
    return readIdentityFile(keyFilePath(source.file, path))
  } catch (error) {
    if (!(error instanceof KeyFileRefusal || error instanceof ConfigError)) throw error
    const message = error.message.replaceAll('sallyport genkey -o', 'sallyport identity make -o')
    source.problem(['host', 'identity'], message)
    return undefined
  }
}

function readPublicKeys(source: YamlSource, path: string): Map<string, Uint8Array> {
  const at = ['host', 'public_keys']
  const file = keyFilePath(source.file, path)
  const keys = new Map<string, Uint8Array>()
  const content = readTrusted(file)
  if (!Buffer.isBuffer(content)) {
    source.problem(at, content)
    return keys
  }
  for (const { number, octets } of secretLines(content)) {
    const words = secretWords(octets).map((word) => Buffer.from(word).toString('latin1'))
    const identity = words.length === 2 ? parseIdentity(words[0]!) : undefined
    const key = parsePublicKey(words[1] ?? '')
    if (!identity || !key) {
      source.problem(
        at,
        `${file}:${number}: expected an identity and its public key, as sallyport identity show prints`,
      )
      continue
    }
    const name = formatIdentity(identity)
    if (keys.has(name)) source.problem(at, `${file}:${number}: ${name} has a public key already`)
    keys.set(name, key)
  }
  return keys
}

/** Public keys are no secret, but whoever can change them can be any peer. */
function readTrusted(file: string): Buffer | string {
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    return `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`
  }
  try {
    const info = fstatSync(fd)
    const self = process.geteuid?.() ?? 0
    if (!info.isFile()) return `${file} is not a regular file`
    if (info.size > PUBLIC_KEYS_MAX) return `${file} has ${info.size} octets, more than ${PUBLIC_KEYS_MAX}`
    if ((info.mode & 0o022) !== 0)
      return `${file} can be changed by others than its owner; run: chmod go-w ${file}`
    if (info.uid !== 0 && info.uid !== self)
      return `${file} belongs to user ${info.uid}, who could change it; run: chown ${self} ${file}`
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * The public key of a peer, of the configuration or of the host's file of them; undefined when a problem was noted, such as that this
 * host has no key of its own to use with it.
 */
export function peersPublicKey(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  keys: HostKeys,
): Uint8Array | undefined {
  const peer = p.public_key ?? publicKeyOf(keys, p.id)
  if (peer === undefined) {
    const missing: [KeyPath, string] =
      p.auth === 'pubkey'
        ? [
            [...path, 'public_key'],
            'is missing; expected the peer’s, or a line for its id in host.public_keys',
          ]
        : [
            [...path, 'key_file'],
            'is missing; expected the path of the key that this host shares with the peer, relative to this file (or host.identity and the peer’s public key)',
          ]
    source.problem(...missing)
    return undefined
  }
  if (keys.identity !== undefined) return peer
  // One that is named but does not read has been told already.
  if (!source.has(['host', 'identity']))
    source.problem(
      whereIs(path, p),
      'is of use only with host.identity; make one with: sallyport identity make -o FILE',
    )
  return undefined
}

/** K_ab with a peer for whom there is no key file: agreed on between its public key and ours. */
export function identityKey(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  keys: HostKeys,
): Uint8Array | undefined {
  const peer = peersPublicKey(source, path, p, keys)
  if (peer === undefined || keys.identity === undefined) return undefined
  const problem = (text: string) =>
    source.problem(
      whereIs(path, p),
      p.public_key === undefined ? `the key of ${formatIdentity(p.id!)} ${text}` : text,
    )
  if (!makesPairKey(peer)) {
    problem(
      'is for signatures alone, and the pre-phase needs more; expected what sallyport identity show prints, a key_file beside it, or dynamic_psk: off',
    )
    return undefined
  }
  try {
    return pairKey(keys.identity, peer)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problem(error.message)
    return undefined
  }
}

const whereIs = (path: KeyPath, p: PeerSection): KeyPath =>
  p.public_key === undefined ? ['host', 'public_keys'] : [...path, 'public_key']

const publicKeyOf = (keys: HostKeys, id: Identity | undefined): Uint8Array | undefined =>
  id && keys.publicKeys.get(formatIdentity(id))
