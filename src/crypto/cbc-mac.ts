import { concat, wipe } from '../bytes/octets.js'
import { InternalError } from '../errors.js'
import { AES_BLOCK, aesCbcEncrypt } from './aes-cbc.js'
import { INTEG } from './algorithms.js'

// AES-XCBC (RFC 3566) and AES-CMAC (RFC 4493): both are CBC-MAC, and differ in the key that they chain with and in what
// they XOR onto the last block.

export interface CbcMacKeys {
  /** The key of the chain, 16 octets. */
  readonly key: Uint8Array
  /** XORed onto a last block that is full. */
  readonly full: Uint8Array
  /** XORed onto a last block that was padded. */
  readonly padded: Uint8Array
}

/** Octets that endOfChain may write. */
export const END_OF_CHAIN_MAX = 2 * AES_BLOCK

const ZERO_IV = new Uint8Array(AES_BLOCK)

/**
 * Derives the keys of one MAC key. The result shares nothing with `key`; wipeCbcMacKeys ends it.
 * @param id IANA INTEG id
 * @param key 16 octets
 * @returns undefined for an algorithm of another kind, and for a key of another length
 */
export function cbcMacKeys(id: number, key: Uint8Array): CbcMacKeys | undefined {
  if (key.length !== AES_BLOCK) return undefined
  if (id === INTEG.AES_XCBC_96) {
    // RFC 3566 section 4: K1, K2, K3 are the blocks 0x01…, 0x02…, 0x03… encrypted.
    const [k1, k2, k3] = [1, 2, 3].map((n) => aesBlock(key, new Uint8Array(AES_BLOCK).fill(n)))
    return { key: k1!, full: k2!, padded: k3! }
  }
  if (id === INTEG.AES_CMAC_96) {
    const l = aesBlock(key, ZERO_IV)
    const full = doubled(l)
    wipe(l)
    return { key: Uint8Array.from(key), full, padded: doubled(full) }
  }
  return undefined
}

export function wipeCbcMacKeys(keys: CbcMacKeys): void {
  wipe(keys.key)
  wipe(keys.full)
  wipe(keys.padded)
}

/** One block of AES: CBC with an IV of zeros is just that. */
const aesBlock = (key: Uint8Array, block: Uint8Array): Uint8Array => aesCbcEncrypt(key, ZERO_IV, block)

/** Twice a block in GF(2^128), RFC 4493 section 2.3; in constant time. */
function doubled(block: Uint8Array): Uint8Array {
  const out = new Uint8Array(AES_BLOCK)
  for (let i = 0; i < AES_BLOCK - 1; i++) out[i] = (block[i]! << 1) | (block[i + 1]! >>> 7)
  out[AES_BLOCK - 1] = (block[AES_BLOCK - 1]! << 1) ^ (0x87 & -(block[0]! >>> 7))
  return out
}

/**
 * Makes the end of the chain's input: what of message and tail is left behind the message's first octets, padded and with the
 * right key on its last block.
 * @param bytes holds the message, `len` octets at `at`, and the tail behind it, `tailLen` octets (16 at most) at `tail`
 * @param out takes END_OF_CHAIN_MAX octets
 * @returns octets in `out`, 16 or 32. The first `prefixOfChain(len, tailLen)` octets of the message go in front, as they are
 */
export function endOfChain(
  keys: CbcMacKeys,
  bytes: Uint8Array,
  at: number,
  len: number,
  tail: number,
  tailLen: number,
  out: Uint8Array,
): number {
  let n = 0
  for (let i = at + prefixOfChain(len, tailLen); i < at + len; i++) out[n++] = bytes[i]!
  for (let i = 0; i < tailLen; i++) out[n++] = bytes[tail + i]!
  // An empty message is padded to one block.
  const isFull = n !== 0 && n % AES_BLOCK === 0
  if (!isFull) {
    out[n++] = 0x80
    while (n % AES_BLOCK !== 0) out[n++] = 0
  }
  const last = isFull ? keys.full : keys.padded
  const block = n - AES_BLOCK
  for (let i = 0; i < AES_BLOCK; i++) out[block + i] = out[block + i]! ^ last[i]!
  return n
}

/**
 * The whole MAC, 16 octets, over a single buffer. Control messages are MACed with it; packets go through the engines.
 * @param key 16 octets
 * @returns a new buffer
 */
export function cbcMac(id: number, key: Uint8Array, message: Uint8Array): Uint8Array {
  const keys = cbcMacKeys(id, key)
  if (keys === undefined) throw new InternalError(`no CBC-MAC ${id} with a key of ${key.length} octets`)
  const end = new Uint8Array(END_OF_CHAIN_MAX)
  const length = endOfChain(keys, message, 0, message.length, 0, 0, end)
  const chain = concat(message.subarray(0, prefixOfChain(message.length, 0)), end.subarray(0, length))
  const out = aesCbcEncrypt(keys.key, ZERO_IV, chain)
  wipeCbcMacKeys(keys)
  wipe(chain, end)
  return out.slice(-AES_BLOCK)
}

/** Octets of the message, whole blocks, that enter the chain as they are. */
export function prefixOfChain(len: number, tailLen: number): number {
  const total = len + tailLen
  const lastBlock = total === 0 ? 0 : (total - 1) & ~(AES_BLOCK - 1)
  return Math.min(lastBlock, len & ~(AES_BLOCK - 1))
}
