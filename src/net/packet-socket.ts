import type { Slab } from '../bytes/slab.js'
import { InternalError } from '../errors.js'
import { IPPROTO_AH, IPPROTO_ESP } from '../ffi/constants.js'
import { EAGAIN, ENOBUFS } from '../ffi/errno.js'
import { type Libc, libc } from '../ffi/libc.js'
import type { IpAddress } from '../wire/ip-address.js'
import { Destinations } from './destinations.js'
import { setDf } from './open-socket.js'
import { RxMessages } from './rx-messages.js'
import { TxMessages } from './tx-messages.js'
import { DESTINATIONS_MAX, type DirectWay, type PacketSocket, type RxBatch, type TxBatch } from './types.js'

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
 *
 * A raw socket whose packets have their IP header can be given direct ways. Packets to such a destination go to the
 * device by a packet socket: without route, neighbour, packet filter and fragmentation, which is a third of what sending
 * costs. What that refuses goes through the kernel's IP layer, and so does the first batch after each `setWay`.
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
  private readonly linkFd: number
  private direct = 0
  /** By destination: the next packets go through the kernel's IP layer, so that it sees that the neighbour is in use. */
  private readonly refresh: Uint8Array

  /** @param linkFd of openLinkSocket, for direct ways; negative: there are none */
  constructor(fd: number, family: 4 | 6, kind: 'udp' | 'raw', slab: Slab, linkFd = -1) {
    if (slab.address === 0) throw new InternalError('a packet socket needs a native slab')
    this.fd = fd
    this.family = family
    this.kind = kind
    this.slab = slab
    this.c = libc()
    this.destinations = new Destinations(family)
    this.linkFd = kind === 'raw' ? linkFd : -1
    this.refresh = new Uint8Array(this.linkFd < 0 ? 0 : DESTINATIONS_MAX)
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
    if (this.linkFd >= 0) return this.sendEither(tx, from, count)
    tx.fill(from, count, false)
    const n = this.c.sendmmsg(this.fd, tx.messageAt(from), count, 0)
    return n === -EAGAIN ? 0 : n
  }

  dontFragment(on: boolean): void {
    setDf(this.fd, this.family, on ? 'probe' : 'clear')
  }

  /** Sends the first entries that all go the same way, direct or not. */
  private sendEither(tx: TxMessages, from: number, count: number): number {
    const { batch } = tx
    const direct = this.isDirect(batch, from)
    let n = 1
    while (n < count && this.isDirect(batch, from + n) === direct) n++
    if (direct) {
      tx.fill(from, n, true)
      const sent = this.c.sendmmsg(this.linkFd, tx.messageAt(from), n, 0)
      if (sent > 0) this.direct += sent
      if (sent >= 0 || sent === -ENOBUFS) return sent
      if (sent === -EAGAIN) return 0
      // The device is down or gone, or its MTU is another one: the kernel knows what to do.
      this.destinations.setWay(batch.destination[from]!, undefined)
      n = 1
    }
    tx.fill(from, n, false)
    const sent = this.c.sendmmsg(this.fd, tx.messageAt(from), n, 0)
    for (let i = from; i < from + sent; i++) this.refresh[batch.destination[i]!] = 0
    return sent === -EAGAIN ? 0 : sent
  }

  /** True for ESP or AH packets that fit a direct way. Nothing else may pass the packet filter by. */
  private isDirect(batch: TxBatch, i: number): boolean {
    const destination = batch.destination[i]!
    if (batch.length[i]! > this.destinations.mtuOfWay(destination) || this.refresh[destination] !== 0)
      return false
    const protocol = this.slab.bytes[batch.at[i]! + (this.family === 4 ? 9 : 6)]
    return protocol === IPPROTO_ESP || protocol === IPPROTO_AH
  }

  /**
   * Tells how the packets to a destination reach its station, or that this is not known. To be told again every second
   * or so: the kernel then sees a batch of them, and looks after the neighbour's address and the path's MTU.
   */
  setWay(address: IpAddress, way: DirectWay | undefined): void {
    const destination = this.linkFd < 0 ? -1 : this.destination(address, 0)
    if (destination < 0) return
    this.destinations.setWay(destination, way)
    this.refresh[destination] = 1
  }

  /** Packets that went direct ways since the last call. */
  takeDirect(): number {
    const n = this.direct
    this.direct = 0
    return n
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
