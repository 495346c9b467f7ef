import { SCRATCH_LEN } from '../../../src/bytes/slab.js'
import { nativeSlab } from '../../../src/ffi/slab.js'
import { NativePacketSocket } from '../../../src/net/packet-socket.js'
import { Poller } from '../../../src/net/poller.js'
import type { RxBatch, TxBatch } from '../../../src/net/types.js'

/** A receive batch whose slots lie one behind the other from `start`. */
export function rxBatch(size: number, room: number, start = SCRATCH_LEN): RxBatch {
  return {
    size,
    room,
    at: Int32Array.from({ length: size }, (_, i) => start + i * room),
    length: new Int32Array(size),
    segment: new Int32Array(size),
    tos: new Uint8Array(size),
    sourcePort: new Int32Array(size),
    source: new Uint8Array(size * 16),
  }
}

export function txBatch(size: number): TxBatch {
  return {
    size,
    at: new Int32Array(size),
    length: new Int32Array(size),
    segment: new Int32Array(size),
    tos: new Uint8Array(size),
    destination: new Int32Array(size),
  }
}

/** A socket with a slab of 1 MiB, of which the lower half is for receiving and the upper half for sending. */
export class Station {
  static readonly SEND_AT = 512 * 1024
  readonly slab = nativeSlab(1024 * 1024)
  readonly socket: NativePacketSocket
  readonly rx: RxBatch
  readonly tx: TxBatch
  private readonly poller = new Poller()

  constructor(fd: number, family: 4 | 6, kind: 'udp' | 'raw', slots = 8, room = 2048) {
    this.socket = new NativePacketSocket(fd, family, kind, this.slab)
    this.rx = rxBatch(slots, room)
    this.tx = txBatch(slots)
    this.poller.add(fd)
  }

  /** Fills entry i of the send batch with `octets`. */
  put(
    i: number,
    octets: Uint8Array,
    destination: number,
    more: { tos?: number; segment?: number } = {},
  ): void {
    const at = i === 0 ? Station.SEND_AT : this.tx.at[i - 1]! + this.tx.length[i - 1]!
    this.slab.bytes.set(octets, at)
    this.tx.at[i] = at
    this.tx.length[i] = octets.length
    this.tx.destination[i] = destination
    this.tx.tos[i] = more.tos ?? 0
    this.tx.segment[i] = more.segment ?? 0
  }

  /** Waits for packets, half a second at most, and receives one batch. */
  receive(): number {
    this.poller.wait(500)
    return this.socket.receive(this.rx)
  }

  octets(i: number): Uint8Array {
    const at = this.rx.at[i]!
    return this.slab.bytes.slice(at, at + this.rx.length[i]!)
  }

  sourceOf(i: number): Uint8Array {
    return this.rx.source.slice(i * 16, i * 16 + (this.socket.family === 4 ? 4 : 16))
  }
}

/** Octets that tell their index and number. */
export const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff)
