import type { Slab } from '../../bytes/slab.js'
import type { Evp } from '../../ffi/evp.js'
import { sharedMemory } from '../../ffi/native-memory.js'
import { AES_BLOCK } from '../aes-cbc.js'
import { type CbcMacKeys, END_OF_CHAIN_MAX, endOfChain, prefixOfChain, wipeCbcMacKeys } from '../cbc-mac.js'
import type { Mac } from '../types.js'
import type { ContextPair } from './openssl-contexts.js'

/** Octets of the chain that one native call computes: the ciphertext, of which only the last block is of use, stays in the cache. */
const CHUNK = 4096
// Places in a MAC's memory.
const ZERO_IV = 0
const END = AES_BLOCK
const CHAIN = END + END_OF_CHAIN_MAX

const sharedChain = sharedMemory(CHAIN + CHUNK)

/** AES-XCBC and AES-CMAC as what they are, AES-CBC of the message: libcrypto has a CMAC, but no XCBC. */
export class OpensslCbcMac implements Mac {
  readonly icvLength: number
  private readonly evp: Evp
  private readonly contexts: ContextPair
  private readonly keys: CbcMacKeys
  private readonly slab: Slab
  private readonly memory = sharedChain()
  private readonly end = this.memory.bytes.subarray(END, END + END_OF_CHAIN_MAX)

  /** @param contexts AES-128-CBC with `keys.key`. Contexts and keys are this object's from now on */
  constructor(library: Evp, contexts: ContextPair, keys: CbcMacKeys, icvLength: number, slab: Slab) {
    this.evp = library
    this.contexts = contexts
    this.keys = keys
    this.icvLength = icvLength
    this.slab = slab
  }

  /** @returns where in `memory` the MAC stands, or -1 when libcrypto refused */
  private mac(at: number, len: number, tail: number, tailLen: number): number {
    const { encrypt } = this.contexts
    if (encrypt === 0) return -1
    const { evp } = this
    const from = this.slab.address + at
    const own = this.memory.address
    const prefix = prefixOfChain(len, tailLen)
    const n = endOfChain(this.keys, this.slab.bytes, at, len, tail, tailLen, this.end)
    const chain = own + CHAIN
    const last = CHAIN + n - AES_BLOCK
    if (prefix === 0) return evp.encrypt(encrypt, own + ZERO_IV, own + END, n, chain) ? last : -1
    let done = Math.min(prefix, CHUNK)
    let good = evp.encrypt(encrypt, own + ZERO_IV, from, done, chain)
    for (; good && done < prefix; done += CHUNK)
      good = evp.encryptMore(encrypt, from + done, Math.min(CHUNK, prefix - done), chain)
    return good && evp.encryptMore(encrypt, own + END, n, chain) ? last : -1
  }

  compute(at: number, len: number, tail: number, tailLen: number, icv: number): void {
    const out = this.slab.bytes
    const mac = this.mac(at, len, tail, tailLen)
    // Refused: what leaves is nothing that a peer would accept.
    if (mac < 0) out.fill(0, icv, icv + this.icvLength)
    else for (let i = 0; i < this.icvLength; i++) out[icv + i] = this.memory.bytes[mac + i]!
  }

  verify(at: number, len: number, tail: number, tailLen: number, icv: number): boolean {
    const mac = this.mac(at, len, tail, tailLen)
    if (mac < 0) return false
    const computed = this.memory.bytes
    const given = this.slab.bytes
    let diff = 0
    for (let i = 0; i < this.icvLength; i++) diff |= computed[mac + i]! ^ given[icv + i]!
    return diff === 0
  }

  destroy(): void {
    this.contexts.free()
    wipeCbcMacKeys(this.keys)
    this.memory.bytes.fill(0)
  }
}
