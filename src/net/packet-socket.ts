import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { EAGAIN } from '../ffi/errno.js'
import { type Libc, libc } from '../ffi/libc.js'
import type { IpAddress } from '../wire/ip-address.js'
import { Destinations } from './destinations.js'
import { setDf } from './open-socket.js'
import { RxMessages } from './rx-messages.js'
import { TxMessages } from './tx-messages.js'
import type { PacketSocket, RxBatch, TxBatch } from './types.js'

/**
 * A UDP or raw IP socket over a descriptor that open-socket.ts made, for the thread that owns the slab. One recvmmsg or
 * sendmmsg a batch. What is laid out in native memory belongs to one receive and one send batch at a time: handing in
 * another batch lays everything out anew, so callers keep to theirs.
 *
 * receive: 0 when nothing waits, -errno for an error that the kernel kept for the socket (none is fatal; call again).
 *   A slot of length 0 had an empty datagram or one longer than its room (counted in `truncated`).
 * send: 0 when the socket's buffer is full, otherwise how many entries were taken, fewer than asked when one of them
 *   failed: the next call, starting with it, says why. -ENOBUFS: the device's queue is full. -EMSGSIZE: larger than the
 *   path, with DF set. -EPERM: a packet filter refused it. -EINVAL, -EIO: segmentation is not possible here.
 */
export class NativePacketSocket implements PacketSocket {
  readonly fd: number
  readonly family: 4 | 6
  readonly kind: 'udp' | 'raw'
  private readonly slab: Slab
  private readonly c: Libc
  private readonly destinations: Destinations
  private rx: RxMessages | undefined
  private tx: TxMessages | undefined
  private truncatedBefore = 0

  constructor(fd: number, family: 4 | 6, kind: 'udp' | 'raw', slab: Slab) {
    if (slab.address === 0) throw new InternalError('a packet socket needs a native slab')
    this.fd = fd
    this.family = family
    this.kind = kind
    this.slab = slab
    this.c = libc()
    this.destinations = new Destinations(family)
  }

  /** Datagrams that did not fit their slot. */
  get truncated(): number {
    return this.truncatedBefore + (this.rx?.truncated ?? 0)
  }

  receive(batch: RxBatch): number {
    const rx = this.rx?.batch === batch ? this.rx : this.layRx(batch)
    const n = this.c.recvmmsg(this.fd, rx.address, batch.size, 0)
    if (n > 0) rx.collect(n)
    return n === -EAGAIN ? 0 : n
  }

  send(batch: TxBatch, from: number, count: number): number {
    const tx = this.tx?.batch === batch ? this.tx : this.layTx(batch)
    tx.fill(from, count)
    const n = this.c.sendmmsg(this.fd, tx.messageAt(from), count, 0)
    return n === -EAGAIN ? 0 : n
  }

  dontFragment(on: boolean): void {
    if (this.family === 4) setDf(this.fd, on ? 'probe' : 'clear')
  }

  /** @param port ignored on raw sockets */
  destination(address: IpAddress, port: number): number {
    // A raw IPv6 socket takes the port for a protocol number.
    return this.destinations.index(address, this.kind === 'raw' ? 0 : port)
  }

  private layRx(batch: RxBatch): RxMessages {
    this.truncatedBefore = this.truncated
    this.rx = new RxMessages(batch, this.family, this.slab)
    return this.rx
  }

  private layTx(batch: TxBatch): TxMessages {
    this.tx = new TxMessages(batch, this.family, this.slab, this.destinations)
    return this.tx
  }
}
