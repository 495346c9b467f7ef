import type { Slab } from '../../bytes/slab.js'
import {
  GCM_ALIGNMENT,
  GCM_CONTEXT_LEN,
  GCM_KEY_DATA_LEN,
  type GcmFunctions,
  type IpsecMb,
  ipsecMb,
} from '../../ffi/ipsec-mb.js'
import { NativeMemory } from '../../ffi/native-memory.js'
import { ENCR } from '../algorithms.js'
import type { Aead, CryptoEngine } from '../types.js'

const TAG_LEN = 16

/**
 * Intel's multi-buffer IPsec library (libIPSec_MB 1.3 to 2.x) through FFI: one native call a packet.
 * @returns the reason as a string when it cannot be used here
 */
export function ipsecMbEngine(): CryptoEngine | string {
  const library = ipsecMb()
  if (typeof library === 'string') return library
  return {
    name: 'ipsec-mb',
    detail: `libIPSec_MB ${library.version}, ${library.architecture}`,
    aead: (id, key, slab) => (id === ENCR.AES_GCM_16 ? gcm(library, key, slab) : undefined),
    cipher: () => undefined,
    mac: () => undefined,
  }
}

function gcm(library: IpsecMb, key: Uint8Array, slab: Slab): Aead | undefined {
  if (slab.address === 0) return undefined
  const functions = library.gcm(key.length * 8)
  return functions && new Gcm(functions, key, slab)
}

class Gcm implements Aead {
  readonly nonceLength = 12
  readonly icvLength = TAG_LEN
  private readonly f: GcmFunctions
  private readonly slab: Slab
  private readonly base: number
  private readonly memory: NativeMemory
  private readonly keyData: number
  private readonly context: number
  /** Where a decryption leaves the tag that it computed. */
  private readonly tag: number
  private readonly tagWords: Uint32Array

  constructor(functions: GcmFunctions, key: Uint8Array, slab: Slab) {
    this.f = functions
    this.slab = slab
    this.base = slab.address
    this.memory = new NativeMemory(GCM_ALIGNMENT + GCM_KEY_DATA_LEN + GCM_CONTEXT_LEN + TAG_LEN)
    const start = Math.ceil(this.memory.address / GCM_ALIGNMENT) * GCM_ALIGNMENT
    this.keyData = start
    this.context = start + GCM_KEY_DATA_LEN
    this.tag = this.context + GCM_CONTEXT_LEN
    const tagAt = (this.tag - this.memory.address) / 4
    this.tagWords = this.memory.words.subarray(tagAt, tagAt + TAG_LEN / 4)
    // The key passes through the context's octets, which the first packet overwrites; wiped here all the same.
    const contextAt = this.context - this.memory.address
    this.memory.bytes.set(key, contextAt)
    functions.pre(this.context, this.keyData)
    this.memory.bytes.fill(0, contextAt, contextAt + key.length)
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.base
    this.f.encrypt(
      this.keyData,
      this.context,
      b + dst,
      b + src,
      len,
      b + nonce,
      b + aad,
      aadLen,
      b + icv,
      TAG_LEN,
    )
  }

  open(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): boolean {
    const b = this.base
    this.f.decrypt(
      this.keyData,
      this.context,
      b + dst,
      b + src,
      len,
      b + nonce,
      b + aad,
      aadLen,
      this.tag,
      TAG_LEN,
    )
    const v = this.slab.view
    const tag = this.tagWords
    return (
      ((tag[0]! ^ v.getUint32(icv, true)) |
        (tag[1]! ^ v.getUint32(icv + 4, true)) |
        (tag[2]! ^ v.getUint32(icv + 8, true)) |
        (tag[3]! ^ v.getUint32(icv + 12, true))) ===
      0
    )
  }

  destroy(): void {
    this.memory.bytes.fill(0)
  }
}
