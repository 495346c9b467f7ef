import type { Slab } from '../../bytes/slab.js'
import type { Evp } from '../../ffi/evp.js'
import { encryptionInfo } from '../algorithms.js'
import { withKey } from './with-key.js'

/** What a cipher in CCM mode has to be told. */
export interface CcmLengths {
  readonly nonceLength: number
  readonly icvLength: number
}

/**
 * Contexts of one cipher with one key.
 * @param name as in EVP_aes_128_gcm, without the EVP_
 * @param id IANA ENCR id, which says what lengths a key may have
 * @returns undefined for what libcrypto or the slab does not have, and for a key of the wrong length
 */
export function contextPair(
  library: Evp,
  name: string,
  id: number,
  key: Uint8Array,
  slab: Slab,
  ccm?: CcmLengths,
): ContextPair | undefined {
  // libcrypto reads as many octets as the cipher takes, however long the key is.
  if (slab.address === 0 || !encryptionInfo(id)?.keyLengths.includes(key.length)) return undefined
  const cipher = library.cipher(name)
  if (cipher === 0) return undefined
  return withKey(key, (address) => {
    const pair = new ContextPair(library)
    if (pair.setKey(cipher, address, ccm)) return pair
    pair.free()
    return undefined
  })
}

/** One context a direction, as a change of direction would expand the key again. 0 is no context: libcrypto is not asked. */
export class ContextPair {
  encrypt: number
  decrypt: number
  private readonly evp: Evp

  constructor(library: Evp) {
    this.evp = library
    this.encrypt = library.newCipherContext()
    this.decrypt = library.newCipherContext()
  }

  setKey(cipher: number, key: number, ccm?: CcmLengths): boolean {
    return (
      this.encrypt !== 0 &&
      this.decrypt !== 0 &&
      this.setOne(this.encrypt, cipher, key, true, ccm) &&
      this.setOne(this.decrypt, cipher, key, false, ccm)
    )
  }

  private setOne(context: number, cipher: number, key: number, encrypt: boolean, ccm?: CcmLengths): boolean {
    return ccm
      ? this.evp.setCcmKey(context, cipher, key, ccm.nonceLength, ccm.icvLength, encrypt)
      : this.evp.setKey(context, cipher, key, encrypt)
  }

  /** Freeing a context makes libcrypto wipe the key schedule in it (EVP_CIPHER_CTX_free(3)). */
  free(): void {
    const { encrypt, decrypt } = this
    this.encrypt = this.decrypt = 0
    if (encrypt !== 0) this.evp.freeCipherContext(encrypt)
    if (decrypt !== 0) this.evp.freeCipherContext(decrypt)
  }
}
