import { utf8, wipe } from '../../bytes/octets.js'
import { ConfigError } from '../../errors.js'
import type { IkePeerConfig, Signatures } from '../../ike/config.js'
import { signingKey } from '../../ike/host-identity.js'
import type { Ppk } from '../../ike/ike-sa.js'
import { parseKeyText } from '../../ike/prephase/key.js'
import { type HostKeys, identityKey, peersPublicKey } from './identities.js'
import { KeyFileRefusal, keyFilePath, readKeyFile } from './key-file.js'
import type { KeyPath } from './problems.js'
import { parsePskFile } from './psk-file.js'
import type { PeerSection } from './schema.js'
import type { YamlSource } from './yaml-source.js'

// What a peer and this host prove themselves with: a key of theirs alone, or public keys, and a post-quantum preshared key beside
// either.

/** The secrets of a peer, which `wipeCredentials` ends. */
export type Credentials = Pick<IkePeerConfig, 'key' | 'ppk' | 'signatures'>

export const wipeCredentials = (c: Credentials): void => wipe(c.key, c.ppk?.key, c.signatures?.sign)

/** Reads what the peer's section names; undefined when problems were noted. */
export function readCredentials(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  keys: HostKeys,
): Credentials | undefined {
  const signs = authOf(p) === 'pubkey'
  const signatures = signs ? readSignatures(source, path, p, keys) : undefined
  // What is wrong with a public key is said once.
  const key = !signs
    ? readKey(source, path, p, keys)
    : signatures && keyBesideSignatures(source, path, p, keys)
  const ppk = p.ppk && loadPpk(source, [...path, 'ppk'], p, p.ppk)
  if (key !== undefined && !(p.ppk && !ppk))
    return { key, ...(ppk && { ppk }), ...(signatures && { signatures }) }
  wipe(key, ppk?.key, signatures?.sign)
  return undefined
}

/** Public keys authenticate IKE too where they are all there is, and can. */
const authOf = (p: PeerSection): 'psk' | 'pubkey' =>
  p.auth ??
  (p.key_file === undefined && p.ike.version === 2 && p.dynamic_psk !== 'classic' ? 'pubkey' : 'psk')

function readSignatures(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  keys: HostKeys,
): Signatures | undefined {
  const refused =
    p.ike.version === 1
      ? 'with IKEv1 only psk is possible; expected psk, or ike.version 2'
      : p.dynamic_psk === 'classic'
        ? 'the classic pre-phase makes a PSK for IKE, which pubkey would not use; expected psk, or dynamic_psk hardened or off'
        : undefined
  if (refused !== undefined) {
    source.problem([...path, 'auth'], refused)
    return undefined
  }
  const peer = peersPublicKey(source, path, p, keys)
  const { identity } = keys
  if (peer === undefined || identity === undefined) return undefined
  return {
    sign: new Uint8Array(identity.sign),
    own: new Uint8Array(signingKey(identity.publicKey)),
    peer: new Uint8Array(signingKey(peer)),
  }
}

/** K_ab, which the pre-phase has use for beside public keys; without pre-phase none. */
function keyBesideSignatures(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  keys: HostKeys,
): Uint8Array | undefined {
  if (p.dynamic_psk !== 'off')
    return p.key_file === undefined
      ? identityKey(source, path, p, keys)
      : loadSecret(source, [...path, 'key_file'], p.key_file, parseKeyText)
  if (p.key_file === undefined) return new Uint8Array(0)
  source.problem(
    [...path, 'key_file'],
    'has no use beside auth: pubkey and dynamic_psk: off; remove it',
    'key',
  )
  return undefined
}

/** K_ab, or with `dynamic_psk: off` a plain PSK, which may as well be a key made by genkey. */
function readKey(source: YamlSource, path: KeyPath, p: PeerSection, keys: HostKeys): Uint8Array | undefined {
  if (p.key_file === undefined) {
    if (p.dynamic_psk !== 'off') return identityKey(source, path, p, keys)
    source.problem(
      [...path, 'key_file'],
      'is missing; with dynamic_psk: off expected the path of the PSK that both ends share, or with ike.version 2 the peer’s public_key',
    )
    return undefined
  }
  if (p.public_key !== undefined)
    source.problem(
      [...path, 'public_key'],
      'stands beside key_file; expected one of the two, or auth: pubkey',
      'key',
    )
  const parse = p.dynamic_psk === 'off' ? parsePskFile : parseKeyText
  return loadSecret(source, [...path, 'key_file'], p.key_file, parse)
}

/** RFC 8784 section 6: a PPK of fewer octets does not keep what it is for. */
const PPK_MIN = 32

function loadPpk(
  source: YamlSource,
  path: KeyPath,
  p: PeerSection,
  ppk: NonNullable<PeerSection['ppk']>,
): Ppk | undefined {
  const problem =
    p.ike.version === 1
      ? 'is a matter of IKEv2; expected ike.version 2, or no ppk'
      : p.dynamic_psk === 'hardened'
        ? 'has no use, as the hardened pre-phase makes a new one for every IKE SA; remove it'
        : undefined
  if (problem !== undefined) {
    source.problem(path, problem, 'key')
    return undefined
  }
  const key = loadSecret(source, [...path, 'key_file'], ppk.key_file, parsePskFile)
  if (key === undefined) return undefined
  if (key.length >= PPK_MIN) return { id: utf8(ppk.id), key, required: ppk.required }
  source.problem([...path, 'key_file'], `holds a key of ${key.length} octets; expected at least ${PPK_MIN}`)
  wipe(key)
  return undefined
}

/** @param parse gives the key, or what is wrong with the file */
function loadSecret(
  source: YamlSource,
  at: KeyPath,
  name: string,
  parse: (content: Uint8Array) => Uint8Array | string,
): Uint8Array | undefined {
  const file = keyFilePath(source.file, name)
  let content: Buffer | undefined
  try {
    content = readKeyFile(file)
    const key = parse(content)
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
