import type { Slab } from '../bytes/slab.js'
import { NativePacketSocket } from '../net/packet-socket.js'
import type { RxBatch } from '../net/types.js'
import type { SlotArea } from './lane-memory.js'
import type { SocketSpec } from './messages.js'
import { JoinedSlotWatch } from './offload-watch.js'
import { type TxListener, TxQueue } from './tx-queue.js'

/** A socket of a lane, with the batch that it receives into and what waits to be sent by it. */
export interface LaneSocket {
  readonly spec: SocketSpec
  readonly socket: NativePacketSocket
  readonly rx: RxBatch
  readonly queue: TxQueue
  /** Watches UDP_GRO; undefined when that is off. */
  watch: JoinedSlotWatch | undefined
}

/** @param slots of the slab, which the socket owns from now on */
export function laneSocket(spec: SocketSpec, slots: SlotArea, slab: Slab, listener: TxListener): LaneSocket {
  const socket = new NativePacketSocket(spec.fd, spec.family, spec.kind, slab, spec.linkFd)
  const size = slots.count
  const rx: RxBatch = {
    size,
    at: Int32Array.from({ length: size }, (_, i) => slots.at + i * slots.stride),
    room: slots.room,
    length: new Int32Array(size),
    segment: new Int32Array(size),
    tos: new Uint8Array(size),
    sourcePort: new Int32Array(size),
    source: new Uint8Array(size * 16),
  }
  const queue = new TxQueue(socket, spec.gso, listener)
  return { spec, socket, rx, queue, watch: spec.gro ? new JoinedSlotWatch() : undefined }
}
