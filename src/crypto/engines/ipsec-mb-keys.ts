import {
  AES_SCHEDULE_LEN,
  GCM_CONTEXT_LEN,
  GCM_KEY_DATA_LEN,
  IMB_ALIGNMENT,
  type IpsecMb,
} from '../../ffi/ipsec-mb.js'
import { NativeMemory } from '../../ffi/native-memory.js'
import { ENCR, encryptionInfo, INTEG, integrityInfo } from '../algorithms.js'
import { withKey } from './with-key.js'

/** Octets of one expanded key, rounded up for the next one's alignment. */
const SCHEDULE_ROOM = 256
/** AES-XCBC: K1 expanded, K2, K3. AES-CMAC: a schedule that nobody reads, the key expanded, two subkeys. HMAC: two states. */
const INTEGRITY_ROOM = 2 * SCHEDULE_ROOM + 2 * IMB_ALIGNMENT

/** What libIPSec_MB makes of keys, in memory of its own. */
class KeyMemory {
  readonly memory: NativeMemory
  /** First aligned octet. */
  readonly start: number

  constructor(length: number) {
    this.memory = new NativeMemory(IMB_ALIGNMENT + length)
    this.start = Math.ceil(this.memory.address / IMB_ALIGNMENT) * IMB_ALIGNMENT
  }

  /** Ends it. Jobs in a queue may still name its addresses: nothing of their results is used. */
  wipe(): void {
    this.memory.giveBack()
  }
}

/** Key data of GCM, and a context for calls with it. */
export class GcmKey extends KeyMemory {
  readonly data = this.start
  readonly context = this.start + GCM_KEY_DATA_LEN

  /** @param key 16, 24 or 32 octets */
  constructor(library: IpsecMb, key: Uint8Array) {
    super(GCM_KEY_DATA_LEN + GCM_CONTEXT_LEN)
    withKey(key, (address) => library.gcm(key.length * 8).pre(address, this.data))
  }
}

/** AES key schedules, or a key of ChaCha20 as it is. */
export class CipherKey extends KeyMemory {
  readonly encrypt = this.start
  readonly decrypt: number

  /** @param id IANA ENCR id @param key of a length that the algorithm has; none for NULL */
  constructor(library: IpsecMb, id: number, key: Uint8Array) {
    super(2 * SCHEDULE_ROOM)
    const isAes = id !== ENCR.NULL && id !== ENCR.CHACHA20_POLY1305
    if (isAes)
      withKey(key, (address) =>
        library.expandAes(key.length * 8, address, this.start, this.start + SCHEDULE_ROOM),
      )
    else this.memory.bytes.set(key, this.start - this.memory.address)
    // Only CBC decrypts by the inverse cipher.
    this.decrypt = id === ENCR.AES_CBC ? this.start + SCHEDULE_ROOM : this.start
  }
}

const BLOCK_LENGTHS: Readonly<Record<string, number>> = { sha1: 64, sha256: 64, sha384: 128, sha512: 128 }

/** Whether MacKey takes it. */
export const isMacKey = (id: number, key: Uint8Array): boolean => {
  const info = integrityInfo(id)
  if (info?.kind === 'cbc-mac') return key.length === info.keyLength
  return info?.hash !== undefined && key.length <= BLOCK_LENGTHS[info.hash]!
}

/** Whether CipherKey and GcmKey take it. */
export const isCipherKey = (id: number, key: Uint8Array): boolean =>
  encryptionInfo(id)?.keyLengths.includes(key.length) ?? false

/** What an integrity algorithm keeps of its key. */
export class MacKey extends KeyMemory {
  /** Addresses, as JOB_HASH_FIELDS names them. */
  readonly fields: readonly number[]

  /** @param id IANA INTEG id of an algorithm that isMacKey knows */
  constructor(library: IpsecMb, id: number, key: Uint8Array) {
    super(INTEGRITY_ROOM)
    const first = this.start
    const second = first + SCHEDULE_ROOM
    const [sub1, sub2] = [second + SCHEDULE_ROOM, second + SCHEDULE_ROOM + IMB_ALIGNMENT]
    const hash = integrityInfo(id)?.hash
    if (hash !== undefined) {
      pads(library, hash, key, first, second)
      this.fields = [first, second]
    } else if (id === INTEG.AES_XCBC_96) {
      withKey(key, (address) => library.expandXcbc(address, first, sub1, sub2))
      this.fields = [first, sub1, sub2]
    } else {
      withKey(key, (address) => library.expandAes(key.length * 8, address, first, second))
      library.expandCmac(first, sub1, sub2)
      this.memory.bytes.fill(0, second - this.memory.address, second - this.memory.address + AES_SCHEDULE_LEN)
      this.fields = [first, sub1, sub2]
    }
  }
}

/** RFC 2104: the states of a hash after the blocks key XOR ipad and key XOR opad. */
function pads(library: IpsecMb, hash: string, key: Uint8Array, inner: number, outer: number): void {
  for (const [pad, state] of [
    [0x36, inner],
    [0x5c, outer],
  ] as const) {
    const block = new Uint8Array(BLOCK_LENGTHS[hash]!).fill(pad)
    for (let i = 0; i < key.length; i++) block[i] = block[i]! ^ key[i]!
    withKey(block, (address) => library.hashBlock(hash, address, state))
    block.fill(0)
  }
}
