import type { Slab } from '../../bytes/slab.js'
import type { GcmFunctions, IpsecMb } from '../../ffi/ipsec-mb.js'
import { sharedMemory } from '../../ffi/native-memory.js'
import type { Aead } from '../types.js'
import { GcmKey } from './ipsec-mb-keys.js'

const TAG_LEN = 16

const computedTag = sharedMemory(TAG_LEN)

/** AES-GCM, and AES-GMAC as GCM of nothing: one native call a packet. */
export class ImbGcm implements Aead {
  readonly nonceLength = 12
  readonly icvLength = TAG_LEN
  private readonly f: GcmFunctions
  private readonly slab: Slab
  private readonly base: number
  /** Undefined once it is wiped. */
  private key: GcmKey | undefined
  /** Where a decryption leaves the tag that it computed. */
  private readonly tag = computedTag()
  private readonly tagWords = this.tag.words

  constructor(library: IpsecMb, key: Uint8Array, slab: Slab) {
    this.f = library.gcm(key.length * 8)
    this.slab = slab
    this.base = slab.address
    this.key = new GcmKey(library, key)
  }

  seal(nonce: number, aad: number, aadLen: number, src: number, len: number, dst: number, icv: number): void {
    const b = this.base
    const { key } = this
    if (!key) {
      // In place, the plaintext still stands there. What leaves instead is nothing that a peer would accept.
      this.slab.bytes.fill(0, dst, dst + len)
      this.slab.bytes.fill(0, icv, icv + TAG_LEN)
      return
    }
    this.f.encrypt(key.data, key.context, b + dst, b + src, len, b + nonce, b + aad, aadLen, b + icv, TAG_LEN)
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
    const { key } = this
    if (!key) return false
    this.f.decrypt(
      key.data,
      key.context,
      b + dst,
      b + src,
      len,
      b + nonce,
      b + aad,
      aadLen,
      this.tag.address,
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
    this.key?.wipe()
    this.key = undefined
  }
}
