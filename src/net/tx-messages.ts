import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_TCLASS, UDP_SEGMENT } from '../ffi/constants.js'
import { IOVEC_LEN } from '../ffi/layout/iovec.js'
import {
  CMSG_HEADER_LEN,
  CMSG_LEVEL,
  CMSG_TYPE,
  cmsgLength,
  cmsgSpace,
  MESSAGES_MAX,
  MMSGHDR_LEN,
  MSG_CONTROL,
  MSG_CONTROLLEN,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_NAME,
  MSG_NAMELEN,
} from '../ffi/layout/message.js'
import { SOCKADDR_LL_LEN, SOCKADDR_STRIDE, sockaddrLength } from '../ffi/layout/sockaddr.js'
import { NativeMemory, setWord64 } from '../ffi/native-memory.js'
import type { Destinations } from './destinations.js'
import type { TxBatch } from './types.js'

const TOS_SPACE = cmsgSpace(4)
const SEGMENT_SPACE = cmsgSpace(2)
const CONTROL_LEN = TOS_SPACE + SEGMENT_SPACE

// Which of a message's two cmsgs are sent. They lie one behind the other, so that each choice is a start and a length.
const WITH_TOS = 1
const WITH_SEGMENT = 2

/**
 * The mmsghdr array of one send batch: message i is entry i of the batch. Laid out once; `fill` writes the vector, the
 * destination, and the control fields where their shape differs from the last time.
 */
export class TxMessages {
  readonly batch: TxBatch
  private readonly address: number
  private readonly words: Uint32Array
  private readonly vectors: number
  private readonly controls: number
  private readonly shapes: Uint8Array
  private readonly nameLength: number
  private readonly slab: Slab
  private readonly destinations: Destinations

  constructor(batch: TxBatch, family: 4 | 6, slab: Slab, destinations: Destinations) {
    const { size } = batch
    if (size < 1 || size > MESSAGES_MAX) throw new InternalError(`a send batch of ${size}`)
    this.batch = batch
    this.slab = slab
    this.destinations = destinations
    this.shapes = new Uint8Array(size)
    this.nameLength = sockaddrLength(family)
    const memory = new NativeMemory(size * (MMSGHDR_LEN + IOVEC_LEN + CONTROL_LEN))
    this.words = memory.words
    this.address = memory.address
    memory.take(size * MMSGHDR_LEN)
    this.vectors = memory.take(size * IOVEC_LEN)
    this.controls = memory.take(size * CONTROL_LEN)
    const v4 = family === 4
    for (let i = 0; i < size; i++) {
      const w = (i * MMSGHDR_LEN) >>> 2
      setWord64(this.words, w + MSG_IOV / 4, this.address + this.vectors + i * IOVEC_LEN)
      this.words[w + MSG_IOVLEN / 4] = 1
      const tos = this.controls + i * CONTROL_LEN
      this.layCmsg(tos, 4, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS)
      this.layCmsg(tos + TOS_SPACE, 2, IPPROTO_UDP, UDP_SEGMENT)
    }
  }

  /** Address of message i. */
  messageAt(i: number): number {
    return this.address + i * MMSGHDR_LEN
  }

  /**
   * Lays out entries [from, from + count) for the call.
   * @param direct to the stations that their destinations have as direct ways
   * @throws InternalError for an entry outside slab or table
   */
  fill(from: number, count: number, direct: boolean): void {
    const { batch, words, slab, destinations } = this
    const names = direct ? destinations.ways : destinations.address
    const nameLength = direct ? SOCKADDR_LL_LEN : this.nameLength
    if (from < 0 || from + count > batch.size) throw new InternalError('messages outside the batch')
    for (let i = from; i < from + count; i++) {
      const at = batch.at[i]!
      const length = batch.length[i]!
      const destination = batch.destination[i]!
      // The kernel would send whatever memory it is shown.
      if (at < 0 || length < 0 || at + length > slab.bytes.length)
        throw new InternalError('a message outside the slab')
      if (destination < 0 || destination >= destinations.count) throw new InternalError('unknown destination')
      const v = (this.vectors + i * IOVEC_LEN) >>> 2
      setWord64(words, v, slab.address + at)
      words[v + 2] = length
      const w = i * (MMSGHDR_LEN / 4)
      setWord64(words, w + MSG_NAME / 4, names + destination * SOCKADDR_STRIDE)
      words[w + MSG_NAMELEN / 4] = nameLength

      const tos = batch.tos[i]!
      const segment = batch.segment[i]!
      const shape = (tos === 0 ? 0 : WITH_TOS) | (segment === 0 ? 0 : WITH_SEGMENT)
      if (shape !== this.shapes[i]) this.reshape(i, shape)
      if (shape === 0) continue
      const c = (this.controls + i * CONTROL_LEN) >>> 2
      words[c + CMSG_HEADER_LEN / 4] = tos
      words[c + (TOS_SPACE + CMSG_HEADER_LEN) / 4] = segment
    }
  }

  private reshape(i: number, shape: number): void {
    const { words } = this
    const w = i * (MMSGHDR_LEN / 4)
    const start = this.controls + i * CONTROL_LEN + ((shape & WITH_TOS) === 0 ? TOS_SPACE : 0)
    const length =
      ((shape & WITH_TOS) === 0 ? 0 : TOS_SPACE) + ((shape & WITH_SEGMENT) === 0 ? 0 : SEGMENT_SPACE)
    setWord64(words, w + MSG_CONTROL / 4, length === 0 ? 0 : this.address + start)
    words[w + MSG_CONTROLLEN / 4] = length
    this.shapes[i] = shape
  }

  private layCmsg(at: number, valueLength: number, level: number, type: number): void {
    setWord64(this.words, at >>> 2, cmsgLength(valueLength))
    this.words[(at + CMSG_LEVEL) >>> 2] = level
    this.words[(at + CMSG_TYPE) >>> 2] = type
  }
}
