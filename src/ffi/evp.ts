import { koffi } from './koffi.js'
import { NativeMemory } from './native-memory.js'

// libcrypto's functions that the node binary exports, with addresses as numbers. EVP_EncryptInit(3), HMAC(3).

const CTRL_AEAD_GET_TAG = 0x10
const CTRL_AEAD_SET_TAG = 0x11

type Call = (...args: (number | null)[]) => number

/** The calls, and what they need of scratch memory. A context is an address; who makes it frees it. */
export interface Evp {
  /** Version text of the library. */
  readonly version: string
  /** @returns 0 when libcrypto has no such cipher. Names as in EVP_aes_128_gcm, without the EVP_. */
  cipher(name: string): number
  newCipherContext(): number
  freeCipherContext(context: number): void
  /** Fixes cipher, direction and key. `key` is an address. Padding is switched off. @returns false when refused */
  setKey(context: number, cipher: number, key: number, encrypt: boolean): boolean
  /** AEAD: one packet; addresses. `tag` of 16 octets is written. */
  seal(
    context: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    tag: number,
  ): void
  /** AEAD: one packet; compares the tag (in constant time, in libcrypto). */
  open(
    context: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    tag: number,
  ): boolean
  /** CBC without padding: `len` octets, a multiple of 16. */
  encrypt(context: number, iv: number, src: number, len: number, dst: number): void
  decrypt(context: number, iv: number, src: number, len: number, dst: number): void
  /** @param hash node's name: sha1, sha256, sha384, sha512. `key` is an address. @returns 0 when refused */
  newHmac(hash: string, key: number, keyLen: number): number
  freeHmac(context: number): void
  /** HMAC of two pieces (the second may be empty), whole, at address `out` (64 octets of room). */
  hmac(context: number, at: number, len: number, tail: number, tailLen: number, out: number): void
}

let bound: Evp | string | undefined

/**
 * Binds the functions at first use in a thread.
 * @returns the reason as a string when the node binary does not export them
 * @throws SystemError where no native calls can be made
 */
export function evp(): Evp | string {
  bound ??= bind()
  return bound
}

function bind(): Evp | string {
  const library = koffi().load(null)
  const a = 'uintptr_t'
  const call = (name: string, result: string, args: string[]): Call =>
    library.func(name, result, args) as unknown as Call
  try {
    const contextNew = call('EVP_CIPHER_CTX_new', a, [])
    const contextFree = call('EVP_CIPHER_CTX_free', 'void', [a])
    const setPadding = call('EVP_CIPHER_CTX_set_padding', 'int', [a, 'int'])
    const ctrl = call('EVP_CIPHER_CTX_ctrl', 'int', [a, 'int', 'int', a])
    const encryptInit = call('EVP_EncryptInit_ex', 'int', [a, a, a, a, a])
    const encryptUpdate = call('EVP_EncryptUpdate', 'int', [a, a, a, a, 'int'])
    const encryptFinal = call('EVP_EncryptFinal_ex', 'int', [a, a, a])
    const decryptInit = call('EVP_DecryptInit_ex', 'int', [a, a, a, a, a])
    const decryptUpdate = call('EVP_DecryptUpdate', 'int', [a, a, a, a, 'int'])
    const decryptFinal = call('EVP_DecryptFinal_ex', 'int', [a, a, a])
    const hmacNew = call('HMAC_CTX_new', a, [])
    const hmacFree = call('HMAC_CTX_free', 'void', [a])
    const hmacInit = call('HMAC_Init_ex', 'int', [a, a, 'int', a, a])
    const hmacUpdate = call('HMAC_Update', 'int', [a, a, 'size_t'])
    const hmacFinal = call('HMAC_Final', 'int', [a, a, a])
    /** Where libcrypto writes lengths that nobody reads. */
    const memory = new NativeMemory(16)
    const length = memory.address

    return {
      version: process.versions.openssl,
      cipher: (name) => {
        try {
          return Number(call(`EVP_${name}`, a, [])())
        } catch {
          return 0
        }
      },
      newCipherContext: () => Number(contextNew()),
      freeCipherContext: (context) => void contextFree(context),
      setKey: (context, cipher, key, encrypt) =>
        (encrypt ? encryptInit : decryptInit)(context, cipher, 0, key, 0) === 1 &&
        setPadding(context, 0) === 1 &&
        memory.address !== 0,
      seal(context, nonce, aad, aadLen, src, len, dst, tag) {
        encryptInit(context, 0, 0, 0, nonce)
        encryptUpdate(context, 0, length, aad, aadLen)
        // A zero address means "no data" to libcrypto; an empty update is left out.
        if (len !== 0) encryptUpdate(context, dst, length, src, len)
        encryptFinal(context, dst + len, length)
        ctrl(context, CTRL_AEAD_GET_TAG, 16, tag)
      },
      open(context, nonce, aad, aadLen, src, len, dst, tag) {
        decryptInit(context, 0, 0, 0, nonce)
        decryptUpdate(context, 0, length, aad, aadLen)
        if (len !== 0) decryptUpdate(context, dst, length, src, len)
        ctrl(context, CTRL_AEAD_SET_TAG, 16, tag)
        return decryptFinal(context, dst + len, length) > 0
      },
      encrypt(context, iv, src, len, dst) {
        encryptInit(context, 0, 0, 0, iv)
        encryptUpdate(context, dst, length, src, len)
      },
      decrypt(context, iv, src, len, dst) {
        decryptInit(context, 0, 0, 0, iv)
        decryptUpdate(context, dst, length, src, len)
      },
      newHmac(hash, key, keyLen) {
        const context = Number(hmacNew())
        const digest = Number(call(`EVP_${hash}`, a, [])())
        if (context === 0 || digest === 0) return 0
        if (hmacInit(context, key, keyLen, digest, 0) === 1) return context
        hmacFree(context)
        return 0
      },
      freeHmac: (context) => void hmacFree(context),
      hmac(context, at, len, tail, tailLen, out) {
        // Without key and digest the context starts again with the ones it has.
        hmacInit(context, 0, 0, 0, 0)
        hmacUpdate(context, at, len)
        if (tailLen !== 0) hmacUpdate(context, tail, tailLen)
        hmacFinal(context, out, length)
      },
    }
  } catch (error) {
    return `this node binary does not export libcrypto: ${(error as Error).message}`
  }
}
