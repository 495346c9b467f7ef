import { Buffer } from 'node:buffer'
import { concat, equalOctets, hex, isZero, utf8, wipe } from '../bytes/octets.js'
import { KE } from '../crypto/algorithms.js'
import {
  ED25519_KEY_LEN,
  ED25519_SPKI_LEN,
  ed25519FromSpki,
  ed25519PublicKey,
  ed25519Spki,
} from '../crypto/ed25519.js'
import { hkdfExpand, hkdfExtract } from '../crypto/hkdf.js'
import { generateKeyShare } from '../crypto/key-exchange.js'
import { sha256 } from '../crypto/sha256.js'
import { ConfigError } from '../errors.js'

// A host's own key pair, for pools in which a secret for every pair of hosts is too much to carry around. One seed of 32
// random octets gives two key pairs: Ed25519 proves the host in IKEv2, X25519 makes the K_ab of the pre-phase with each peer.
//
//   PRK    = HKDF-Extract(salt = "sallyport identity 1", IKM = seed)
//   sign   = HKDF-Expand(PRK, "ed25519", 32)      Ed25519 seed
//   agree  = HKDF-Expand(PRK, "x25519", 32)       X25519 private key
//   public = Ed25519 public key (32) | X25519 public key (32)
//   K_ab   = HKDF-Expand(HKDF-Extract(salt = "sallyport pair 1", IKM = X25519(agree_a, X_b)), low | high, 32)
//
// low and high are the two ends' 64 octets in their order as numbers, so that both ends say the same, and a K_ab belongs
// to these two identities and no others.

export const IDENTITY_SEED_LEN = 32
export const IDENTITY_PUBLIC_LEN = 64
const SECRET_TAG = 'sallyport-identity-1'
const SALT_IDENTITY = utf8('sallyport identity 1')
const SALT_PAIR = utf8('sallyport pair 1')
const FINGERPRINT_LABEL = utf8('sallyport identity fingerprint 1\0')

/** A host's secrets; whoever made it wipes it with `forgetIdentity`. */
export interface HostIdentity {
  /** Ed25519 seed. */
  readonly sign: Uint8Array
  /** X25519 private key. */
  readonly agree: Uint8Array
  /** 64 octets: what peers are told. */
  readonly publicKey: Uint8Array
}

/** @param seed 32 random octets, which stay the caller's */
export function identityOf(seed: Uint8Array): HostIdentity {
  const prk = hkdfExtract(SALT_IDENTITY, seed)
  const sign = hkdfExpand(prk, utf8('ed25519'), 32)
  const agree = hkdfExpand(prk, utf8('x25519'), 32)
  wipe(prk)
  const share = generateKeyShare(KE.CURVE25519, agree)
  const publicKey = concat(ed25519PublicKey(sign), share.publicValue)
  share.destroy()
  return { sign, agree, publicKey }
}

export function forgetIdentity(identity: HostIdentity): void {
  wipe(identity.sign, identity.agree)
}

/** The part of a public identity that verifies signatures. */
export const signingKey = (publicKey: Uint8Array): Uint8Array => publicKey.subarray(0, ED25519_KEY_LEN)

/**
 * K_ab of this host and a peer: 32 octets, the caller's to wipe.
 * @param peer the peer's 64 octets; see `makesPairKey`
 * @throws ConfigError for our own key, and for one with which no secret can be agreed on
 */
export function pairKey(own: HostIdentity, peer: Uint8Array): Uint8Array {
  if (equalOctets(own.publicKey, peer)) throw new ConfigError('is the public key of this host')
  const share = generateKeyShare(KE.CURVE25519, own.agree)
  let secret: Uint8Array
  try {
    secret = share.computeSecret(peer.subarray(ED25519_KEY_LEN))
  } catch {
    throw new ConfigError('is no public key: a point of small order')
  } finally {
    share.destroy()
  }
  const ends = [own.publicKey, peer].sort(Buffer.compare)
  const prk = hkdfExtract(SALT_PAIR, secret)
  const key = hkdfExpand(prk, concat(...ends), 32)
  wipe(prk, secret)
  return key
}

/** Names a public identity: 16 hex digits. */
export const identityFingerprint = (publicKey: Uint8Array): string =>
  hex(sha256(FINGERPRINT_LABEL, publicKey).subarray(0, 8))

/** The text of an identity file. @param seed 32 octets */
export function formatIdentityFile(seed: Uint8Array): string {
  const identity = identityOf(seed)
  const { publicKey } = identity
  forgetIdentity(identity)
  return (
    `# sallyport identity ${identityFingerprint(publicKey)}: this host alone, keep it secret\n` +
    `# public key: ${formatPublicKey(publicKey)}\n` +
    `${SECRET_TAG} ${base64(seed)}\n`
  )
}

/**
 * Reads an identity file.
 * @param words the words of the one line that is no comment, as octets that the caller wipes
 * @param decodeBase64 strict, undefined for what is none
 * @throws ConfigError without any octet of the secret
 */
export function identityFromWords(
  words: readonly Uint8Array[],
  decodeBase64: (text: Uint8Array) => Uint8Array | undefined,
): HostIdentity {
  const [tag, text] = words
  if (words.length !== 2 || tag === undefined || text === undefined || !equalOctets(tag, utf8(SECRET_TAG)))
    throw new ConfigError('not an identity; make one with: sallyport identity make -o FILE')
  const seed = decodeBase64(text)
  if (seed?.length !== IDENTITY_SEED_LEN || isZero(seed)) {
    if (seed) wipe(seed)
    throw new ConfigError('not an identity: cut off or damaged')
  }
  const identity = identityOf(seed)
  wipe(seed)
  return identity
}

/** 88 characters of base64. */
export const formatPublicKey = (publicKey: Uint8Array): string => base64(publicKey)

/** The signing key alone, as other implementations know it: the one line of base64 in a PEM file. @param key 32 octets */
export const formatRawPublicKey = (key: Uint8Array): string => base64(ed25519Spki(key))

/** A PEM file of the signing key. @param key 32 octets */
export const pemOf = (key: Uint8Array): string =>
  `-----BEGIN PUBLIC KEY-----\n${formatRawPublicKey(key)}\n-----END PUBLIC KEY-----\n`

/**
 * Reads a peer's public key: a sallyport identity's, or the line in the PEM file of another implementation's Ed25519 key.
 * @returns 64 octets, or 32 without the part that makes K_ab; undefined for anything else
 */
export function parsePublicKey(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]{59,86}={1,2}$/.test(text)) return undefined
  const octets = new Uint8Array(Buffer.from(text, 'base64'))
  if (base64(octets) !== text) return undefined
  if (octets.length === ED25519_SPKI_LEN) return ed25519FromSpki(octets)
  return octets.length === IDENTITY_PUBLIC_LEN ? octets : undefined
}

/** Whether a peer's public key can make a K_ab. */
export const makesPairKey = (publicKey: Uint8Array): boolean => publicKey.length === IDENTITY_PUBLIC_LEN

const base64 = (octets: Uint8Array): string =>
  Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('base64')
