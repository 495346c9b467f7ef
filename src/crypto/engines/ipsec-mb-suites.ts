import type { IpsecMb } from '../../ffi/ipsec-mb.js'
import {
  CIPHER,
  DIRECTION,
  HASH,
  JOB_CIPHER_LEN,
  JOB_CIPHER_OFFSET,
  JOB_DEC_KEYS,
  JOB_DST,
  JOB_ENC_KEYS,
  JOB_HASH_FIELDS,
  JOB_HASH_LEN,
  JOB_IV,
  JOB_IV_LEN,
  JOB_KEY_LEN,
  JOB_SRC,
  JOB_TAG,
  JOB_TAG_LEN,
  ORDER,
} from '../../ffi/layout/imb-job.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../algorithms.js'
import type { QueuedAead, QueuedCipherMac } from '../types.js'
import { CipherKey, GcmKey, isCipherKey, isMacKey, MacKey } from './ipsec-mb-keys.js'
import type { JobQueue, JobTemplate } from './ipsec-mb-queue.js'

// Words of a job that a packet fills in.
const SRC = JOB_SRC >>> 2
const DST = JOB_DST >>> 2
const CIPHER_OFFSET = JOB_CIPHER_OFFSET >>> 2
const CIPHER_LEN = JOB_CIPHER_LEN >>> 2
const HASH_LEN = JOB_HASH_LEN >>> 2
const IV = JOB_IV >>> 2
const TAG = JOB_TAG >>> 2
const AAD = JOB_HASH_FIELDS >>> 2
const AAD_LEN = (JOB_HASH_FIELDS + 8) >>> 2

/** The library's numbers for an AEAD. CCM alone reads the plaintext for its ICV, so that it hashes first when it seals. */
interface AeadShape {
  readonly cipher: number
  readonly hash: number
  readonly hashFirst: boolean
}
const CCM: AeadShape = { cipher: CIPHER.CCM, hash: HASH.CCM, hashFirst: true }
const AEADS: ReadonlyMap<number, AeadShape> = new Map<number, AeadShape>([
  [ENCR.AES_GCM_16, { cipher: CIPHER.GCM, hash: HASH.GMAC, hashFirst: false }],
  [
    ENCR.CHACHA20_POLY1305,
    { cipher: CIPHER.CHACHA20_POLY1305, hash: HASH.CHACHA20_POLY1305, hashFirst: false },
  ],
  [ENCR.AES_CCM_8, CCM],
  [ENCR.AES_CCM_12, CCM],
  [ENCR.AES_CCM_16, CCM],
])

const CIPHERS: ReadonlyMap<number, number> = new Map([
  [ENCR.NULL, CIPHER.NULL],
  [ENCR.AES_CBC, CIPHER.CBC],
  [ENCR.AES_CTR, CIPHER.CNTR],
])

const HASHES: ReadonlyMap<number, number> = new Map([
  [INTEG.HMAC_SHA1_96, HASH.HMAC_SHA1],
  [INTEG.HMAC_SHA2_256_128, HASH.HMAC_SHA256],
  [INTEG.HMAC_SHA2_384_192, HASH.HMAC_SHA384],
  [INTEG.HMAC_SHA2_512_256, HASH.HMAC_SHA512],
  [INTEG.AES_XCBC_96, HASH.XCBC],
  [INTEG.AES_CMAC_96, HASH.CMAC],
])

/** @returns undefined for an algorithm or a length of key that there is not */
export function queuedAead(
  library: IpsecMb,
  queue: JobQueue,
  id: number,
  key: Uint8Array,
): QueuedAead | undefined {
  // The library has no CCM with 192 bits.
  if (AEADS.get(id) === CCM && key.length === 24) return undefined
  return AEADS.has(id) && isCipherKey(id, key) ? new ImbAead(library, queue, id, key) : undefined
}

/** @returns undefined for an algorithm or a length of key that there is not */
export function queuedCipherMac(
  library: IpsecMb,
  queue: JobQueue,
  encr: number,
  cipherKey: Uint8Array,
  integ: number,
  macKey: Uint8Array,
  tailLength: 0 | 4,
): QueuedCipherMac | undefined {
  return CIPHERS.has(encr) && HASHES.has(integ) && isCipherKey(encr, cipherKey) && isMacKey(integ, macKey)
    ? new ImbCipherMac(library, queue, encr, cipherKey, integ, macKey, tailLength)
    : undefined
}

class ImbAead implements QueuedAead {
  readonly nonceLength: number
  readonly icvLength: number
  private readonly queue: JobQueue
  private readonly key: GcmKey | CipherKey
  private readonly sealed: JobTemplate
  private readonly opened: JobTemplate

  constructor(library: IpsecMb, queue: JobQueue, id: number, key: Uint8Array) {
    const { saltLength, ivLength, icvLength } = encryptionInfo(id)!
    const { cipher, hash, hashFirst } = AEADS.get(id)!
    this.queue = queue
    this.nonceLength = saltLength + ivLength
    this.icvLength = icvLength
    let keys: number
    if (id === ENCR.AES_GCM_16) {
      const own = new GcmKey(library, key)
      this.key = own
      keys = own.data
    } else {
      const own = new CipherKey(library, id, key)
      this.key = own
      keys = own.encrypt
    }
    const fields = [
      [JOB_ENC_KEYS, keys],
      [JOB_DEC_KEYS, keys],
      [JOB_KEY_LEN, key.length],
      [JOB_IV_LEN, this.nonceLength],
      [JOB_TAG_LEN, icvLength],
    ] as const
    const [sealOrder, openOrder] = hashFirst
      ? [ORDER.HASH_CIPHER, ORDER.CIPHER_HASH]
      : [ORDER.CIPHER_HASH, ORDER.HASH_CIPHER]
    this.sealed = queue.shape({ cipher, hash, direction: DIRECTION.ENCRYPT, order: sealOrder, fields })
    this.opened = queue.shape({ cipher, hash, direction: DIRECTION.DECRYPT, order: openOrder, fields })
  }

  seal(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): number {
    const { queue } = this
    const job = queue.begin(this.sealed)
    if (job < 0) return -1
    queue.words[job + TAG] = queue.base + icv
    this.fill(job, nonce, aad, aadLen, src, len, dst)
    return queue.sealing(dst, len, icv, this.icvLength)
  }

  open(
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
    icv: number,
  ): number {
    const { queue } = this
    const job = queue.begin(this.opened)
    if (job < 0) return -1
    queue.words[job + TAG] = queue.tagAddress
    this.fill(job, nonce, aad, aadLen, src, len, dst)
    return queue.opening(icv, this.icvLength)
  }

  private fill(
    job: number,
    nonce: number,
    aad: number,
    aadLen: number,
    src: number,
    len: number,
    dst: number,
  ): void {
    const { queue } = this
    const w = queue.words
    w[job + SRC] = queue.base + src
    w[job + DST] = queue.base + dst
    w[job + CIPHER_LEN] = len
    w[job + HASH_LEN] = len
    w[job + IV] = queue.keepIv(nonce, this.nonceLength)
    w[job + AAD] = queue.keepAad(aad, aadLen)
    w[job + AAD_LEN] = aadLen
  }

  destroy(): void {
    this.sealed.ended = this.opened.ended = true
    this.key.wipe()
  }
}

class ImbCipherMac implements QueuedCipherMac {
  readonly icvLength: number
  private readonly queue: JobQueue
  private readonly tailLength: number
  private readonly hasIv: boolean
  private readonly cipherKey: CipherKey
  private readonly macKey: MacKey
  private readonly sealed: JobTemplate
  private readonly opened: JobTemplate

  constructor(
    library: IpsecMb,
    queue: JobQueue,
    encr: number,
    cipherKey: Uint8Array,
    integ: number,
    macKey: Uint8Array,
    tailLength: 0 | 4,
  ) {
    this.queue = queue
    this.tailLength = tailLength
    this.hasIv = encr !== ENCR.NULL
    this.icvLength = integrityInfo(integ)!.icvLength
    this.cipherKey = new CipherKey(library, encr, cipherKey)
    this.macKey = new MacKey(library, integ, macKey)
    const cipher = CIPHERS.get(encr)!
    const hash = HASHES.get(integ)!
    const fields = [
      [JOB_ENC_KEYS, this.cipherKey.encrypt],
      [JOB_DEC_KEYS, this.cipherKey.decrypt],
      [JOB_KEY_LEN, cipherKey.length],
      [JOB_IV_LEN, IV_LEN],
      [JOB_TAG_LEN, this.icvLength],
      ...this.macKey.fields.map((value, i) => [JOB_HASH_FIELDS + 8 * i, value] as const),
    ] as const
    const common = { cipher, hash, fields }
    this.sealed = queue.shape({ ...common, direction: DIRECTION.ENCRYPT, order: ORDER.CIPHER_HASH })
    this.opened = queue.shape({ ...common, direction: DIRECTION.DECRYPT, order: ORDER.HASH_CIPHER })
  }

  seal(iv: number, from: number, at: number, len: number, tail: number): number {
    const { queue } = this
    const job = queue.begin(this.sealed)
    if (job < 0) return -1
    const end = at + len
    queue.words[job + TAG] = queue.base + end
    this.fill(job, iv, from, at, len, at)
    // The tail stands where the ICV comes: that is written when all of the MAC's input has been read.
    if (this.tailLength !== 0) queue.slab.view.setUint32(end, tail)
    return queue.sealing(at, len, end, this.icvLength)
  }

  open(iv: number, from: number, at: number, len: number, dst: number, tail: number): number {
    const { queue } = this
    const job = queue.begin(this.opened)
    if (job < 0) return -1
    const end = at + len
    queue.words[job + TAG] = queue.tagAddress
    this.fill(job, iv, from, at, len, dst)
    if (this.tailLength === 0) return queue.opening(end, this.icvLength)
    const index = queue.openingBut(end, this.icvLength)
    queue.slab.view.setUint32(end, tail)
    return index
  }

  private fill(job: number, iv: number, from: number, at: number, len: number, dst: number): void {
    const { queue } = this
    const w = queue.words
    w[job + SRC] = queue.base + from
    w[job + DST] = queue.base + dst
    w[job + CIPHER_OFFSET] = at - from
    w[job + CIPHER_LEN] = len
    w[job + HASH_LEN] = at - from + len + this.tailLength
    if (this.hasIv) w[job + IV] = queue.keepIv(iv, IV_LEN)
  }

  destroy(): void {
    this.sealed.ended = this.opened.ended = true
    this.cipherKey.wipe()
    this.macKey.wipe()
  }
}

const IV_LEN = 16
