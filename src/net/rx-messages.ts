import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_TCLASS, UDP_GRO } from '../ffi/constants.js'
import { IOVEC_LEN, writeIovec } from '../ffi/layout/iovec.js'
import {
  CMSG_HEADER_LEN,
  cmsgSpace,
  MESSAGES_MAX,
  MMSGHDR_LEN,
  MSG_CONTROL,
  MSG_CONTROLLEN,
  MSG_FLAGS,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_LEN,
  MSG_NAME,
  MSG_NAMELEN,
  MSG_TRUNC,
} from '../ffi/layout/message.js'
import { SIN_ADDR, SIN_PORT, SIN6_ADDR, SOCKADDR_STRIDE } from '../ffi/layout/sockaddr.js'
import { NativeMemory, setWord64 } from '../ffi/native-memory.js'
import type { RxBatch } from './types.js'

/** Room for the ancillary data of one message: TOS and UDP_GRO, each an int at most. */
const CONTROL_LEN = 2 * cmsgSpace(4)

/**
 * The mmsghdr array of one receive batch. Everything is laid out once; between two calls only what the kernel writes
 * (name and control lengths) is put back, for as many messages as it filled.
 *
 *   headers  size x mmsghdr ──┬─► vectors   size x iovec ──► slab[at[i], at[i] + room)
 *                             ├─► names     size x sockaddr (32)
 *                             └─► controls  size x 2 cmsg (48)
 */
export class RxMessages {
  readonly batch: RxBatch
  readonly address: number
  /** Datagrams that were longer than their slot; they are reported with length 0. */
  truncated = 0
  private readonly words: Uint32Array
  private readonly bytes: Uint8Array
  private readonly names: number
  private readonly controls: number
  private readonly v4: boolean

  constructor(batch: RxBatch, family: 4 | 6, slab: Slab) {
    const { size, room } = batch
    if (size < 1 || size > MESSAGES_MAX) throw new InternalError(`a receive batch of ${size}`)
    this.batch = batch
    this.v4 = family === 4
    const memory = new NativeMemory(size * (MMSGHDR_LEN + IOVEC_LEN + SOCKADDR_STRIDE + CONTROL_LEN))
    this.words = memory.words
    this.bytes = memory.bytes
    this.address = memory.address
    memory.take(size * MMSGHDR_LEN)
    const vectors = memory.take(size * IOVEC_LEN)
    this.names = memory.take(size * SOCKADDR_STRIDE)
    this.controls = memory.take(size * CONTROL_LEN)
    for (let i = 0; i < size; i++) {
      const at = batch.at[i]!
      if (at < 0 || at + room > slab.bytes.length) throw new InternalError('a receive slot outside the slab')
      writeIovec(memory, vectors + i * IOVEC_LEN, slab.address + at, room)
      const w = (i * MMSGHDR_LEN) >>> 2
      setWord64(this.words, w + MSG_NAME / 4, this.address + this.names + i * SOCKADDR_STRIDE)
      setWord64(this.words, w + MSG_IOV / 4, this.address + vectors + i * IOVEC_LEN)
      this.words[w + MSG_IOVLEN / 4] = 1
      setWord64(this.words, w + MSG_CONTROL / 4, this.address + this.controls + i * CONTROL_LEN)
    }
    this.rearm(size)
  }

  /** Moves what the kernel said about the first `n` messages into the batch. */
  collect(n: number): void {
    const { batch, words, bytes } = this
    const octets = this.v4 ? 4 : 16
    for (let i = 0; i < n; i++) {
      const w = i * (MMSGHDR_LEN / 4)
      if ((words[w + MSG_FLAGS / 4]! & MSG_TRUNC) !== 0) {
        this.truncated++
        batch.length[i] = 0
      } else batch.length[i] = words[w + MSG_LEN / 4]!
      const name = this.names + i * SOCKADDR_STRIDE
      batch.sourcePort[i] = (bytes[name + SIN_PORT]! << 8) | bytes[name + SIN_PORT + 1]!
      const from = name + (this.v4 ? SIN_ADDR : SIN6_ADDR)
      for (let k = 0; k < octets; k++) batch.source[i * 16 + k] = bytes[from + k]!
      this.readControl(i, words[w + MSG_CONTROLLEN / 4]!)
    }
    this.rearm(n)
  }

  private readControl(i: number, length: number): void {
    const { batch, words } = this
    let segment = 0
    let tos = 0
    let at = this.controls + i * CONTROL_LEN
    const end = at + Math.min(length, CONTROL_LEN)
    while (at + CMSG_HEADER_LEN < end) {
      const w = at >>> 2
      const level = words[w + 2]
      const type = words[w + 3]
      // An int or, for IP_TOS, one octet: the low octet of the first word either way.
      const value = words[w + 4]!
      if (level === IPPROTO_UDP && type === UDP_GRO) segment = value
      else if (level === IPPROTO_IP && type === IP_TOS) tos = value & 0xff
      else if (level === IPPROTO_IPV6 && type === IPV6_TCLASS) tos = value & 0xff
      at += cmsgSpace(Math.max(0, words[w]! - CMSG_HEADER_LEN))
    }
    batch.segment[i] = segment
    batch.tos[i] = tos
  }

  private rearm(n: number): void {
    for (let i = 0; i < n; i++) {
      const w = i * (MMSGHDR_LEN / 4)
      this.words[w + MSG_NAMELEN / 4] = SOCKADDR_STRIDE
      this.words[w + MSG_CONTROLLEN / 4] = CONTROL_LEN
      this.words[w + MSG_FLAGS / 4] = 0
    }
  }
}
