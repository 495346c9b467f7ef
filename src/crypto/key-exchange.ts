import {
  createDiffieHellman,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  getDiffieHellman,
  type KeyObject,
} from 'node:crypto'
import { isZero, wipe } from '../bytes/octets.js'
import { InternalError, ProtocolError } from '../errors.js'
import { KE } from './algorithms.js'

// Diffie-Hellman for IKE: the groups by their IANA key exchange ids, public values and secrets as they stand on the wire.

/** One end's ephemeral share. */
export interface KeyShare {
  readonly group: number
  /** Octets of the KE payload: `publicValueLength(group)` of them, the caller may keep them. */
  readonly publicValue: Uint8Array
  /**
   * The shared secret g^xy as prf input, `secretLength(group)` octets: left padded for MODP (RFC 2409 section 5, RFC 7296
   * section 2.14), the x coordinate for ECP (RFC 5903 section 7). The caller wipes it.
   * @param peer the other end's public value
   * @throws ProtocolError INVALID_KEY_INFORMATION when the value has the wrong length or fails the tests of RFC 6989
   */
  computeSecret(peer: Uint8Array): Uint8Array
  /** Overwrites or drops the private key; once is enough, twice does no harm. `computeSecret` throws InternalError afterwards. */
  destroy(): void
}

interface Group {
  readonly id: number
  readonly name: string
  readonly publicValueLength: number
  readonly secretLength: number
  share(privateKey: Uint8Array | undefined): KeyShare
}

const GROUPS: ReadonlyMap<number, Group> = new Map(
  [
    modp(KE.MODP2048, 'modp2048', 'modp14', 256),
    modp(KE.MODP3072, 'modp3072', 'modp15', 384),
    modp(KE.MODP4096, 'modp4096', 'modp16', 512),
    ecp(KE.ECP256, 'ecp256', 'prime256v1', 32),
    ecp(KE.ECP384, 'ecp384', 'secp384r1', 48),
    ecp(KE.ECP521, 'ecp521', 'secp521r1', 66),
    x25519(),
  ].map((g) => [g.id, g]),
)

export const hasGroup = (id: number): boolean => GROUPS.has(id)

/** Keyword of the group, or its number. */
export const groupName = (id: number): string => GROUPS.get(id)?.name ?? `group ${id}`

/** Octets of a KE payload's value; 0 for a group that sallyport does not have. */
export const publicValueLength = (id: number): number => GROUPS.get(id)?.publicValueLength ?? 0

/** Octets of the shared secret as prf input; 0 for a group that sallyport does not have. */
export const secretLength = (id: number): number => GROUPS.get(id)?.secretLength ?? 0

/**
 * Makes an ephemeral share.
 * @param privateKey fixes the private key: for test vectors only
 * @throws InternalError for a group that sallyport does not have: proposals were checked before
 */
export function generateKeyShare(id: number, privateKey?: Uint8Array): KeyShare {
  const group = GROUPS.get(id)
  if (!group) throw new InternalError(`no key exchange group ${id}`)
  return group.share(privateKey)
}

function refuse(group: string, why: string): ProtocolError {
  return new ProtocolError('INVALID_KEY_INFORMATION', `public value for ${group}: ${why}`)
}

function checkLength(group: string, peer: Uint8Array, length: number): void {
  if (peer.length !== length) throw refuse(group, `${peer.length} octets where ${length} are needed`)
}

const DESTROYED = 'key share used after it was destroyed'

function checkAlive(destroyed: boolean): void {
  if (destroyed) throw new InternalError(DESTROYED)
}

/** Left pads with zeros: node drops leading ones. Wipes its argument. */
function padded(value: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  out.set(value, length - value.length)
  wipe(value)
  return out
}

function modp(id: number, name: string, nodeName: string, length: number): Group {
  return {
    id,
    name,
    publicValueLength: length,
    secretLength: length,
    share(privateKey) {
      const group = getDiffieHellman(nodeName)
      const prime = group.getPrime()
      const dh = createDiffieHellman(prime, group.getGenerator())
      if (privateKey) dh.setPrivateKey(privateKey)
      const publicValue = padded(dh.generateKeys(), length)
      let destroyed = false
      return {
        group: id,
        publicValue,
        computeSecret(peer) {
          checkAlive(destroyed)
          checkLength(name, peer, length)
          if (!insideGroup(peer, prime)) throw refuse(name, 'not in the group')
          return padded(dh.computeSecret(peer), length)
        },
        destroy() {
          // libcrypto wipes the number that another takes the place of (DH_set0_key).
          if (!destroyed) dh.setPrivateKey(Uint8Array.of(1))
          destroyed = true
        },
      }
    },
  }
}

/** RFC 6989 section 2.1: 1 < y < p - 1. The value is public, so nothing here need be constant-time. */
function insideGroup(y: Uint8Array, prime: Uint8Array): boolean {
  // The primes are odd, so p - 1 differs from p in the last bit only.
  const belowPrimeLessOne =
    Buffer.compare(y, prime) < 0 && !(allButLastAlike(y, prime) && y.at(-1) === prime.at(-1)! - 1)
  const aboveOne = y.at(-1)! > 1 || !isZero(y.subarray(0, -1))
  return belowPrimeLessOne && aboveOne
}

const allButLastAlike = (a: Uint8Array, b: Uint8Array): boolean =>
  Buffer.compare(a.subarray(0, -1), b.subarray(0, -1)) === 0

function ecp(id: number, name: string, curve: string, length: number): Group {
  return {
    id,
    name,
    publicValueLength: 2 * length,
    secretLength: length,
    share(privateKey) {
      const ecdh = createECDH(curve)
      if (privateKey) ecdh.setPrivateKey(privateKey)
      else ecdh.generateKeys()
      // x | y without the 04 in front (RFC 5903 section 7).
      const publicValue = Uint8Array.from(ecdh.getPublicKey().subarray(1))
      let destroyed = false
      return {
        group: id,
        publicValue,
        computeSecret(peer) {
          checkAlive(destroyed)
          checkLength(name, peer, 2 * length)
          const point = new Uint8Array(1 + 2 * length)
          point[0] = 4
          point.set(peer, 1)
          try {
            // RFC 6989 section 2.3: node refuses a point that is not on the curve.
            return padded(ecdh.computeSecret(point), length)
          } catch {
            throw refuse(name, 'not on the curve')
          }
        },
        destroy() {
          // A fresh key of full length is drawn into the place of the old one; a given one would only be copied over part of it.
          if (!destroyed) ecdh.generateKeys()
          destroyed = true
        },
      }
    },
  }
}

/** DER in front of a raw X25519 key (RFC 8410). */
const X25519_PRIVATE = Buffer.from('302e020100300506032b656e04220420', 'hex')
const X25519_PUBLIC = Buffer.from('302a300506032b656e032100', 'hex')

function x25519(): Group {
  const id = KE.CURVE25519
  const name = 'x25519'
  return {
    id,
    name,
    publicValueLength: 32,
    secretLength: 32,
    share(fixed) {
      let privateKey: KeyObject | undefined = fixed
        ? createPrivateKey({ key: Buffer.concat([X25519_PRIVATE, fixed]), format: 'der', type: 'pkcs8' })
        : generateKeyPairSync('x25519').privateKey
      const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
      return {
        group: id,
        publicValue: Uint8Array.from(spki.subarray(X25519_PUBLIC.length)),
        computeSecret(peer) {
          if (!privateKey) throw new InternalError(DESTROYED)
          checkLength(name, peer, 32)
          const publicKey = createPublicKey({
            key: Buffer.concat([X25519_PUBLIC, peer]),
            format: 'der',
            type: 'spki',
          })
          let secret: Uint8Array
          try {
            secret = padded(diffieHellman({ privateKey, publicKey }), 32)
          } catch {
            throw refuse(name, 'a point of small order')
          }
          // RFC 8031 section 3.2 with RFC 7748 section 6: an all-zero secret ends the exchange.
          if (isZero(secret)) throw refuse(name, 'a point of small order')
          return secret
        },
        destroy() {
          // Nothing overwrites it; libcrypto wipes it when the object is collected.
          privateKey = undefined
        },
      }
    },
  }
}
