import { koffi, type NativeLibrary } from './koffi.js'
import { NativeMemory, setWord64 } from './native-memory.js'

// libcrypto's functions that the node binary exports, with addresses as numbers. EVP_EncryptInit(3), OSSL_PARAM(3), HMAC(3).
// Every call that can refuse says so by its result, and every result is looked at: a refused encryption leaves its
// destination as it was, which in place is plaintext.

const OSSL_PARAM_OCTET_STRING = 5
/** Of every AEAD but CCM. */
const TAG_LEN = 16
const CTRL_AEAD_SET_IVLEN = 0x9
const CTRL_AEAD_SET_TAG = 0x11

type Call = (...args: number[]) => number

/** The calls, and what they need of scratch memory. A context is an address, never 0; who makes it frees it, once. */
export interface Evp {
  /** Version text of the library. */
  readonly version: string
  /** @returns 0 when libcrypto has no such cipher. Names as in EVP_aes_128_gcm, without the EVP_. */
  cipher(name: string): number
  /** @returns 0 when there is no memory */
  newCipherContext(): number
  /** libcrypto wipes the key schedule in it. */
  freeCipherContext(context: number): void
  /**
   * Fixes cipher, direction and key, and switches padding off.
   * @param key address of as many octets as the cipher takes: libcrypto asks for no length
   * @returns false when refused
   */
  setKey(context: number, cipher: number, key: number, encrypt: boolean): boolean
  /** setKey for a cipher in CCM mode, whose nonce and tag have no length of their own. */
  setCcmKey(
    context: number,
    cipher: number,
    key: number,
    nonceLen: number,
    tagLen: number,
    encrypt: boolean,
  ): boolean
  /** AEAD: one packet; addresses. `tag` of 16 octets is written. @returns false when refused */
  seal(
    context: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    tag: number,
  ): boolean
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
  /** CCM: the same with a tag of `tagLen` octets, and `len` at least 1. @returns false when refused */
  sealCcm(
    context: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    tag: number,
    tagLen: number,
  ): boolean
  openCcm(
    context: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    tag: number,
    tagLen: number,
  ): boolean
  /** CBC without padding: `len` octets, a multiple of 16; CTR: any `len`. @returns false when refused */
  encrypt(context: number, iv: number, src: number, len: number, dst: number): boolean
  /** CBC: goes on where the call before ended. @returns false when refused */
  encryptMore(context: number, src: number, len: number, dst: number): boolean
  decrypt(context: number, iv: number, src: number, len: number, dst: number): boolean
  /** @param hash node's name: sha1, sha256, sha384, sha512. `key` is an address. @returns 0 when refused */
  newHmac(hash: string, key: number, keyLen: number): number
  freeHmac(context: number): void
  /**
   * HMAC of two pieces (the second may be empty), whole, at address `out` (64 octets of room).
   * @returns false when refused
   */
  hmac(context: number, at: number, len: number, tail: number, tailLen: number, out: number): boolean
}

let bound: Evp | string | undefined

/**
 * Binds the functions at first use in a thread.
 * @returns the reason as a string when the node binary does not export them
 * @throws SystemError where no native calls can be made
 */
export function evp(): Evp | string {
  bound ??= bind(koffi().load(null))
  return bound
}

const A = 'uintptr_t'

function bind(library: NativeLibrary): Evp | string {
  const call = (name: string, result: string, args: string[]): Call =>
    library.func(name, result, args) as unknown as Call
  try {
    const contextNew = call('EVP_CIPHER_CTX_new', A, [])
    const contextFree = call('EVP_CIPHER_CTX_free', 'void', [A])
    const setPadding = call('EVP_CIPHER_CTX_set_padding', 'int', [A, 'int'])
    const control = call('EVP_CIPHER_CTX_ctrl', 'int', [A, 'int', 'int', A])
    const getParams = call('EVP_CIPHER_CTX_get_params', 'int', [A, A])
    const encryptInit = call('EVP_EncryptInit_ex2', 'int', [A, A, A, A, A])
    const encryptUpdate = call('EVP_EncryptUpdate', 'int', [A, A, A, A, 'int'])
    const encryptFinal = call('EVP_EncryptFinal_ex', 'int', [A, A, A])
    const decryptInit = call('EVP_DecryptInit_ex2', 'int', [A, A, A, A, A])
    const decryptUpdate = call('EVP_DecryptUpdate', 'int', [A, A, A, A, 'int'])
    const decryptFinal = call('EVP_DecryptFinal_ex', 'int', [A, A, A])
    const hmacNew = call('HMAC_CTX_new', A, [])
    const hmacFree = call('HMAC_CTX_free', 'void', [A])
    const hmacInit = call('HMAC_Init_ex', 'int', [A, A, 'int', A, A])
    const hmacUpdate = call('HMAC_Update', 'int', [A, A, 'size_t'])
    const hmacFinal = call('HMAC_Final', 'int', [A, A, A])
    const getter = addressGetter(call)
    const clearErrors = call('ERR_clear_error', 'void', [])
    const tag = new TagParam()
    const { params, length } = tag
    // A refusal leaves an error in the thread's queue, and node takes what it finds there for the result of a later call of
    // its own: after one forged packet a good private key would not be read.
    const refused = (): false => {
      clearErrors()
      return false
    }

    return {
      version: process.versions.openssl,
      cipher: getter,
      newCipherContext: () => Number(contextNew()),
      freeCipherContext: (context) => void contextFree(context),
      setKey: (context, cipher, key, encrypt) =>
        ((encrypt ? encryptInit : decryptInit)(context, cipher, key, 0, 0) === 1 &&
          setPadding(context, 0) === 1) ||
        refused(),
      // The lengths go into the key schedule, so they come before the key.
      setCcmKey: (context, cipher, key, nonceLen, tagLen, encrypt) => {
        const init = encrypt ? encryptInit : decryptInit
        return (
          (init(context, cipher, 0, 0, 0) === 1 &&
            control(context, CTRL_AEAD_SET_IVLEN, nonceLen, 0) === 1 &&
            control(context, CTRL_AEAD_SET_TAG, tagLen, 0) === 1 &&
            init(context, 0, key, 0, 0) === 1) ||
          refused()
        )
      },
      seal(context, nonce, aad, aadLen, src, len, dst, tagAt) {
        tag.pointTo(tagAt, TAG_LEN)
        return (
          (encryptInit(context, 0, 0, nonce, 0) === 1 &&
            encryptUpdate(context, 0, length, aad, aadLen) === 1 &&
            (len === 0 || encryptUpdate(context, dst, length, src, len) === 1) &&
            encryptFinal(context, dst + len, length) === 1 &&
            getParams(context, params) === 1) ||
          refused()
        )
      },
      open(context, nonce, aad, aadLen, src, len, dst, tagAt) {
        // The tag comes in with the nonce, which saves the call that would set it.
        tag.pointTo(tagAt, TAG_LEN)
        return (
          (decryptInit(context, 0, 0, nonce, params) === 1 &&
            decryptUpdate(context, 0, length, aad, aadLen) === 1 &&
            (len === 0 || decryptUpdate(context, dst, length, src, len) === 1) &&
            decryptFinal(context, dst + len, length) === 1) ||
          refused()
        )
      },
      // CCM wants the length of the message before anything else, and all of the message in one call.
      sealCcm(context, nonce, aad, aadLen, src, len, dst, tagAt, tagLen) {
        tag.pointTo(tagAt, tagLen)
        return (
          (encryptInit(context, 0, 0, nonce, 0) === 1 &&
            encryptUpdate(context, 0, length, 0, len) === 1 &&
            encryptUpdate(context, 0, length, aad, aadLen) === 1 &&
            encryptUpdate(context, dst, length, src, len) === 1 &&
            getParams(context, params) === 1) ||
          refused()
        )
      },
      openCcm(context, nonce, aad, aadLen, src, len, dst, tagAt, tagLen) {
        tag.pointTo(tagAt, tagLen)
        return (
          (decryptInit(context, 0, 0, nonce, params) === 1 &&
            decryptUpdate(context, 0, length, 0, len) === 1 &&
            decryptUpdate(context, 0, length, aad, aadLen) === 1 &&
            decryptUpdate(context, dst, length, src, len) === 1) ||
          refused()
        )
      },
      encrypt: (context, iv, src, len, dst) =>
        (encryptInit(context, 0, 0, iv, 0) === 1 && encryptUpdate(context, dst, length, src, len) === 1) ||
        refused(),
      encryptMore: (context, src, len, dst) =>
        encryptUpdate(context, dst, length, src, len) === 1 || refused(),
      decrypt: (context, iv, src, len, dst) =>
        (decryptInit(context, 0, 0, iv, 0) === 1 && decryptUpdate(context, dst, length, src, len) === 1) ||
        refused(),
      newHmac(hash, key, keyLen) {
        const digest = getter(hash)
        const context = digest === 0 ? 0 : Number(hmacNew())
        if (context === 0 || hmacInit(context, key, keyLen, digest, 0) === 1) return context
        hmacFree(context)
        clearErrors()
        return 0
      },
      freeHmac: (context) => void hmacFree(context),
      // Without key and digest the context starts again with the ones it has.
      hmac: (context, at, len, tail, tailLen, out) =>
        (hmacInit(context, 0, 0, 0, 0) === 1 &&
          hmacUpdate(context, at, len) === 1 &&
          (tailLen === 0 || hmacUpdate(context, tail, tailLen) === 1) &&
          hmacFinal(context, out, length) === 1) ||
        refused(),
    }
  } catch (error) {
    return `this node binary does not export libcrypto: ${(error as Error).message}`
  }
}

/** EVP_aes_128_gcm() and the like by name, each bound and asked once: they give the address of something static. */
function addressGetter(
  call: (name: string, result: string, args: string[]) => Call,
): (name: string) => number {
  const known = new Map<string, number>()
  return (name) => {
    let address = known.get(name)
    if (address === undefined) {
      try {
        address = Number(call(`EVP_${name}`, A, [])())
      } catch {
        address = 0
      }
      known.set(name, address)
    }
    return address
  }
}

/**
 * An OSSL_PARAM array that names an AEAD tag, wherever it stands: it brings the tag of a packet into a
 * context and out of it.
 *
 *   OSSL_PARAM, 40 octets: key (pointer), data_type (u32), data (pointer at 16), data_size (at 24), return_size (at 32)
 */
class TagParam {
  private readonly memory = new NativeMemory(128)
  /** Address of the array: one parameter and the end mark, which is all zero. */
  readonly params = this.memory.address
  /** Address where libcrypto writes lengths that nobody reads. */
  readonly length = this.memory.address + 96

  constructor() {
    const name = 80
    this.memory.bytes.set(Buffer.from('tag\0'), name)
    setWord64(this.memory.words, 0, this.memory.address + name)
    this.memory.words[2] = OSSL_PARAM_OCTET_STRING
  }

  /** @param tag address @param length octets */
  pointTo(tag: number, length: number): void {
    setWord64(this.memory.words, 4, tag)
    this.memory.words[6] = length
  }
}
