import type { IpAddress } from '../wire/ip-address.js'

// The device and the sockets of a lane, in batches over its slab. Lengths are octets; `at` is an offset in the slab.
// A negative result is -errno; -EAGAIN (nothing to do now) is returned as 0. Nothing here allocates per packet.

/** Scatter/gather list laid out once in native memory; `set` fills entry i. */
export interface IoVectors {
  readonly capacity: number
  set(i: number, at: number, length: number): void
}

/** A TUN queue. Every packet has a virtio_net_hdr of VNET_HDR_LEN (10) octets in front when `vnetHeader` is true. */
export interface TunQueue {
  readonly fd: number
  readonly vnetHeader: boolean
  /** One packet (with its vnet header) into slab[at, at + room). */
  read(at: number, room: number): number
  write(at: number, length: number): number
  /** One packet gathered from the first `count` entries. */
  writev(vectors: IoVectors, count: number): number
}

/** Receive batch: parallel arrays, one entry a slot. The owner fills `at` once; `receive` fills the rest. */
export interface RxBatch {
  readonly size: number
  /** Slab offset of each slot. */
  readonly at: Int32Array
  /** Octets of room in each slot. */
  readonly room: number
  /** Octets received; 0 for an empty datagram and for one that was longer than its room. */
  readonly length: Int32Array
  /** UDP_GRO: length of each datagram but the last; 0 = the slot holds one datagram. */
  readonly segment: Int32Array
  /** TOS or traffic class of the outer header, as far as the kernel says (0 otherwise). */
  readonly tos: Uint8Array
  readonly sourcePort: Int32Array
  /** Source addresses, 16 octets each (IPv4: the first four). */
  readonly source: Uint8Array
}

/** Send batch: parallel arrays, one entry a message. */
export interface TxBatch {
  readonly size: number
  readonly at: Int32Array
  readonly length: Int32Array
  /** UDP_SEGMENT: length of each datagram but the last; 0 = one datagram. */
  readonly segment: Int32Array
  /** TOS or traffic class to send with, 0 = the socket's. Ignored where the header is included in the packet. */
  readonly tos: Uint8Array
  /** Index that `destination` gave. */
  readonly destination: Int32Array
}

/** An Ethernet station to which packets for a destination are handed without the kernel's IP layer. */
export interface DirectWay {
  /** Index of the interface. */
  readonly index: number
  /** 6 octets. */
  readonly mac: Uint8Array
  /** Longer packets do not go this way. */
  readonly mtu: number
}

/** A UDP or raw IP socket. */
export interface PacketSocket {
  readonly fd: number
  readonly family: 4 | 6
  readonly kind: 'udp' | 'raw'
  /** Fills rx from slot 0; returns how many slots it filled. One system call. */
  receive(rx: RxBatch): number
  /** Sends entries [from, from + count); returns how many were taken. One system call. */
  send(tx: TxBatch, from: number, count: number): number
  /**
   * Datagrams are sent in one piece, whatever the kernel knows of the path: IPv4 with DF. Off as a socket is opened: IPv4 without
   * DF; IPv6 in fragments that fit what the kernel knows, as routers make none.
   */
  dontFragment(on: boolean): void
  /** Registers a destination and returns its index; the same pair gives the same index. At most DESTINATIONS_MAX. */
  destination(address: IpAddress, port: number): number
}

export const DESTINATIONS_MAX = 4096
