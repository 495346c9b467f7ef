import { EAGAIN, EINVAL, EIO, EMSGSIZE, ENOBUFS } from '../ffi/errno.js'
import type { PacketSocket, TxBatch } from '../net/types.js'
import { FaultCount } from './offload-watch.js'

/** Bounds of UDP_SEGMENT: at most 64 datagrams and 65 507 octets a message (linux/net/ipv4/udp.c). */
const GSO_SEGMENTS_MAX = 64
const GSO_OCTETS_MAX = 65_507
/** Messages a system call; the kernel's own bound is 1024. */
export const TX_MESSAGES = 64
/** How often a full socket buffer is asked again before its packets are dropped. */
const RETRIES = 16

/** What a queue tells its lane. */
export interface TxListener {
  /** What was pushed is about to leave. */
  sending(): void
  sent(packets: number): void
  /** Packets that the kernel did not take. */
  failed(packets: number, errno: number): void
  /** UDP_SEGMENT was refused; the queue has switched it off. */
  gsoRefused(errno: number): void
}

/**
 * Messages for one socket, sent with one system call a batch. Datagrams that lie one behind the other in the slab, for
 * the same destination with the same TOS and of the same length, become one UDP_SEGMENT message.
 */
export class TxQueue {
  readonly socket: PacketSocket
  private readonly listener: TxListener
  private gso: boolean
  private df = false
  private readonly gsoFaults = new FaultCount()
  private readonly batch: TxBatch
  private readonly packets = new Int32Array(TX_MESSAGES)
  private count = 0
  private open = false

  constructor(socket: PacketSocket, gso: boolean, listener: TxListener) {
    this.socket = socket
    this.gso = gso
    this.listener = listener
    this.batch = {
      size: TX_MESSAGES,
      at: new Int32Array(TX_MESSAGES),
      length: new Int32Array(TX_MESSAGES),
      segment: new Int32Array(TX_MESSAGES),
      tos: new Uint8Array(TX_MESSAGES),
      destination: new Int32Array(TX_MESSAGES),
    }
  }

  get pending(): number {
    return this.count
  }

  get segmentation(): boolean {
    return this.gso
  }

  /** Whether the packets that are pushed from now on must not be fragmented. What is queued leaves first. */
  useDf(df: boolean): void {
    if (df === this.df) return
    this.flush()
    this.df = df
    this.socket.dontFragment(df)
  }

  /** Queues one datagram; its octets must stay put until `flush`, and may be missing until `sending`. */
  push(at: number, length: number, destination: number, tos: number): void {
    const b = this.batch
    const last = this.count - 1
    if (this.open && this.gso) {
      const have = b.length[last]!
      const segment = b.segment[last]! === 0 ? have : b.segment[last]!
      if (
        b.at[last]! + have === at &&
        length <= segment &&
        b.destination[last] === destination &&
        b.tos[last] === tos &&
        this.packets[last]! < GSO_SEGMENTS_MAX &&
        have + length <= GSO_OCTETS_MAX
      ) {
        b.segment[last] = segment
        b.length[last] = have + length
        this.packets[last] = this.packets[last]! + 1
        // The kernel cuts at equal lengths: a shorter datagram can only be the last of its message.
        if (length < segment) this.open = false
        return
      }
    }
    if (this.count === TX_MESSAGES) this.flush()
    const i = this.count++
    b.at[i] = at
    b.length[i] = length
    b.segment[i] = 0
    b.tos[i] = tos
    b.destination[i] = destination
    this.packets[i] = 1
    this.open = true
  }

  /** Hands everything to the kernel. The packets' octets are free afterwards. */
  flush(): void {
    let from = 0
    let tries = 0
    if (this.count > 0) this.listener.sending()
    while (from < this.count) {
      const n = this.socket.send(this.batch, from, this.count - from)
      if (n > 0) {
        for (let i = from; i < from + n; i++) {
          this.listener.sent(this.packets[i]!)
          if (this.batch.segment[i] !== 0) this.gsoFaults.succeeded()
        }
        from += n
        tries = 0
        continue
      }
      const errno = n === 0 ? EAGAIN : -n
      if ((errno === EAGAIN || errno === ENOBUFS) && ++tries < RETRIES) continue
      if (this.batch.segment[from] !== 0 && (errno === EINVAL || errno === EIO || errno === EMSGSIZE)) {
        // EMSGSIZE is about datagrams larger than the path, which one by one can be fragmented; not about the feature.
        if (errno !== EMSGSIZE && this.gsoFaults.failed()) {
          this.gso = false
          this.listener.gsoRefused(errno)
        }
        this.sendApart(from)
      } else this.listener.failed(this.packets[from]!, errno)
      from++
      tries = 0
    }
    this.count = 0
    this.open = false
  }

  /** Sends the datagrams of message i, which the kernel would not cut, one by one. */
  private sendApart(i: number): void {
    const b = this.batch
    const end = b.at[i]! + b.length[i]!
    const segment = b.segment[i]!
    b.segment[i] = 0
    for (let at = b.at[i]!; at < end; at += segment) {
      b.at[i] = at
      b.length[i] = Math.min(segment, end - at)
      let n = 0
      for (let tries = 0; tries < RETRIES && n === 0; tries++) n = this.socket.send(b, i, 1)
      if (n > 0) this.listener.sent(1)
      else this.listener.failed(1, n === 0 ? EAGAIN : -n)
    }
  }
}
