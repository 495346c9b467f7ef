import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { EAGAIN } from '../ffi/errno.js'
import { type Libc, libc } from '../ffi/libc.js'
import { NativeIoVectors } from './iovectors.js'
import type { IoVectors, TunQueue } from './types.js'

/**
 * One queue of a TUN device, over the descriptor that `openTun` gave and the slab of the thread that serves it.
 *
 * Results besides lengths: 0 when no packet waits, or when the device's queue is full; -EIO on a write while the device
 * is down; -EINVAL on a write whose vnet header the kernel does not like; -EBADFD when the device was deleted.
 * A packet longer than the room is cut without a word, so the room is that of the largest packet: 10 + 65 535 octets
 * with TSO.
 *
 * Offsets outside the slab throw InternalError: they are a fault of the caller, and the kernel would not notice it.
 */
export class NativeTunQueue implements TunQueue {
  readonly fd: number
  readonly vnetHeader: boolean
  private readonly c: Libc
  private readonly base: number
  private readonly size: number

  constructor(fd: number, vnetHeader: boolean, slab: Slab) {
    if (slab.address === 0) throw new InternalError('a TUN queue needs a native slab')
    this.fd = fd
    this.vnetHeader = vnetHeader
    this.c = libc()
    this.base = slab.address
    this.size = slab.bytes.length
  }

  read(at: number, room: number): number {
    this.within(at, room)
    const n = this.c.read(this.fd, this.base + at, room)
    return n === -EAGAIN ? 0 : n
  }

  write(at: number, length: number): number {
    this.within(at, length)
    const n = this.c.write(this.fd, this.base + at, length)
    return n === -EAGAIN ? 0 : n
  }

  writev(vectors: IoVectors, count: number): number {
    if (!(vectors instanceof NativeIoVectors) || count > vectors.capacity)
      throw new InternalError('wrong vectors')
    const n = this.c.writev(this.fd, vectors.address, count)
    return n === -EAGAIN ? 0 : n
  }

  /** The kernel would read or write whatever memory it is shown. */
  private within(at: number, length: number): void {
    if (at < 0 || length < 0 || at + length > this.size) throw new InternalError('a packet outside the slab')
  }
}
