import {
  SO_RCVBUFFORCE,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from '../../../src/ffi/constants.js'
import { EAGAIN, EINTR, ENOBUFS } from '../../../src/ffi/errno.js'
import { koffi } from '../../../src/ffi/koffi.js'
import { IOV_LEN, IOVEC_LEN, writeIovec } from '../../../src/ffi/layout/iovec.js'
import {
  CMSG_HEADER_LEN,
  cmsgSpace,
  MMSGHDR_LEN,
  MSG_CONTROL,
  MSG_CONTROLLEN,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_LEN,
} from '../../../src/ffi/layout/message.js'
import { libc } from '../../../src/ffi/libc.js'
import { NativeMemory, setWord64 } from '../../../src/ffi/native-memory.js'

const AF_PACKET = 17
const ETH_P_ALL = 0x0003
const SOL_PACKET = 263
const PACKET_STATISTICS = 6
/** Linux 4.20: what this socket, or any other, sends on the device is not received. */
const PACKET_IGNORE_OUTGOING = 23
const SO_TIMESTAMPNS = 35
const BUFFER = 64 * 1024 * 1024
const TIMESTAMP_SPACE = cmsgSpace(16)

/** Frames that one call moves at most. */
export const FRAMES = 64

/**
 * A network device as a pair of pipes for whole Ethernet frames: AF_PACKET, in batches. Received frames lie in slots
 * `i * room`, `length[i]` octets each, until the next `receive`.
 *
 *   octet of sockaddr_ll  0       2        4         8       10      11      12        20
 *                         | family| protoc.| ifindex | hatype|pkttype|halen  | address |
 */
export class FrameSocket {
  readonly fd: number
  readonly room: number
  readonly bytes: Buffer
  readonly length = new Int32Array(FRAMES)
  /** When the kernel had the frame: seconds and nanoseconds since 1970. */
  readonly seconds = new Float64Array(FRAMES)
  readonly nanoseconds = new Int32Array(FRAMES)
  private readonly memory: NativeMemory
  private readonly rx: number
  private readonly tx: number
  private readonly txVectors: number
  private readonly controls: number
  private readonly c = libc()

  /** @param room octets a frame may have, a multiple of 8 */
  constructor(ifindex: number, room: number) {
    this.room = room
    this.memory = new NativeMemory(FRAMES * (room + 2 * (MMSGHDR_LEN + IOVEC_LEN) + TIMESTAMP_SPACE))
    this.memory.take(FRAMES * room)
    this.bytes = Buffer.from(this.memory.bytes.buffer as ArrayBuffer, 0, FRAMES * room)
    this.rx = this.memory.take(FRAMES * MMSGHDR_LEN)
    const rxVectors = this.memory.take(FRAMES * IOVEC_LEN)
    this.tx = this.memory.take(FRAMES * MMSGHDR_LEN)
    this.txVectors = this.memory.take(FRAMES * IOVEC_LEN)
    this.controls = this.memory.take(FRAMES * TIMESTAMP_SPACE)
    for (let i = 0; i < FRAMES; i++) {
      this.header(this.rx, i, rxVectors)
      setWord64(
        this.memory.words,
        (this.rx + i * MMSGHDR_LEN + MSG_CONTROL) / 4,
        this.memory.address + this.controls + i * TIMESTAMP_SPACE,
      )
      writeIovec(this.memory, rxVectors + i * IOVEC_LEN, this.memory.address + i * room, room)
      this.header(this.tx, i, this.txVectors)
    }
    this.fd = this.open(ifindex)
  }

  private header(array: number, i: number, vectors: number): void {
    const at = array + i * MMSGHDR_LEN
    setWord64(this.memory.words, (at + MSG_IOV) / 4, this.memory.address + vectors + i * IOVEC_LEN)
    this.memory.words[(at + MSG_IOVLEN) / 4] = 1
  }

  private open(ifindex: number): number {
    const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >>> 8)
    // Protocol 0 receives nothing: no frame comes in before the socket is bound to its device.
    const fd = this.c.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if (fd < 0) throw new Error(`AF_PACKET socket: errno ${-fd}`)
    for (const [level, option, value] of [
      [SOL_SOCKET, SO_RCVBUFFORCE, BUFFER],
      [SOL_SOCKET, SO_SNDBUFFORCE, BUFFER],
      [SOL_SOCKET, SO_TIMESTAMPNS, 1],
      [SOL_PACKET, PACKET_IGNORE_OUTGOING, 1],
    ] as const) {
      const r = this.c.setsockopt(fd, level, option, value)
      if (r < 0) throw new Error(`AF_PACKET option ${option}: errno ${-r}`)
    }
    const address = new Uint8Array(20)
    const view = new DataView(address.buffer)
    view.setUint16(0, AF_PACKET, true)
    view.setUint16(2, protocol, true)
    view.setInt32(4, ifindex, true)
    const r = this.c.bind(fd, address)
    if (r < 0) throw new Error(`AF_PACKET bind: errno ${-r}`)
    return fd
  }

  /** Receives what waits, without waiting; returns how many frames. */
  receive(): number {
    const { words } = this.memory
    for (let i = 0; i < FRAMES; i++) words[(this.rx + i * MMSGHDR_LEN + MSG_CONTROLLEN) / 4] = TIMESTAMP_SPACE
    const n = this.c.recvmmsg(this.fd, this.memory.address + this.rx, FRAMES, 0)
    if (n === -EAGAIN || n === -EINTR) return 0
    if (n < 0) throw new Error(`recvmmsg: errno ${-n}`)
    for (let i = 0; i < n; i++) {
      this.length[i] = words[(this.rx + i * MMSGHDR_LEN + MSG_LEN) / 4]!
      const at = (this.controls + i * TIMESTAMP_SPACE + CMSG_HEADER_LEN) / 4
      this.seconds[i] = words[at]! + words[at + 1]! * 2 ** 32
      this.nanoseconds[i] = words[at + 2]!
    }
    return n
  }

  /**
   * Sends frames that lie in the slots of another socket.
   * @param from whose slots they are; its memory must stay as it is until this returns
   * @param slots indexes of the slots, `count` of them
   * @returns frames that the device's queue did not take
   */
  sendFrom(from: FrameSocket, slots: Int32Array, count: number): number {
    for (let i = 0; i < count; i++)
      this.point(i, from.memory.address + slots[i]! * from.room, from.length[slots[i]!]!)
    return this.flush(count)
  }

  /** Sends one frame of at most `room` octets; false when the queue did not take it. */
  send(frame: Uint8Array): boolean {
    const copy = new NativeMemory(frame.length)
    copy.bytes.set(frame)
    this.point(0, copy.address, frame.length)
    return this.flush(1) === 0
  }

  private point(i: number, address: number, length: number): void {
    writeIovec(this.memory, this.txVectors + i * IOVEC_LEN, address, length)
    this.memory.words[(this.txVectors + i * IOVEC_LEN + IOV_LEN) / 4] = length
  }

  private flush(count: number): number {
    let sent = 0
    let lost = 0
    let refusals = 0
    while (sent < count) {
      const n = this.c.sendmmsg(this.fd, this.memory.address + this.tx + sent * MMSGHDR_LEN, count - sent, 0)
      if (n > 0) sent += n
      else if ((n === -EAGAIN || n === -ENOBUFS || n === -EINTR) && refusals++ < 1000) continue
      else {
        // EMSGSIZE, ENETDOWN: a wire loses what it cannot carry.
        sent++
        lost++
      }
    }
    return lost
  }

  /** Frames that the kernel dropped before this socket could take them, since the last call. */
  dropped(): number {
    const getsockopt = koffi().load(null).func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *'])
    const value = new Uint32Array(2)
    return getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, value, Uint32Array.of(8)) === 0 ? value[1]! : 0
  }
}
