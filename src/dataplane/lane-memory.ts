import { SCRATCH_LEN } from '../bytes/slab.js'
import { IPV6_PAYLOAD_HEAD_ROOM, REBUILD_SLACK, type RebuildArea } from '../ipsec/inbound.js'
import { FRAGMENT_HEADER_ROOM } from '../ipsec/ipv4-fragmenter.js'
import { REASSEMBLY_ROOM } from '../ipsec/reassembler.js'
import { VNET_HDR_LEN } from '../wire/virtio-net-hdr.js'
import { coalescerHeaderRoom } from './coalescing.js'
import { hearsIcmp, type SocketSpec } from './messages.js'
import { OVERSIZE_ROOM } from './oversize.js'
import { pendingRoom } from './pending.js'
import { SEGMENT_HEADER_MAX } from './segmentation.js'

const toCacheLine = (octets: number): number => (octets + 63) & ~63

/** The largest packet that a TUN read brings. */
export const TUN_PACKET_MAX = 65_535
/**
 * Octets in front of what is received, for headers that are made for what has none (IPv6, vnet). Whole cache lines: the vnet header
 * ends where one begins, so that the packet starts on it.
 */
export const HEAD_ROOM = toCacheLine(IPV6_PAYLOAD_HEAD_ROOM + VNET_HDR_LEN)
/** Room behind a packet for the ESP trailer that is written in place. */
const TAIL_ROOM = 64
/** Sealed packets between two sends. */
const OUT_ROOM = 1 << 20
/** Room that one sealed packet may need: the largest IP packet there is. */
const SEALED_MAX = 65_600
/** Room behind that for the same packet in fragments, headers and all. */
const FRAGMENTS_MAX = SEALED_MAX + 8_192
/**
 * A slot holds 64 KiB: datagrams that were joined, or one packet that came in fragments. On a device that joins nothing each slot
 * has one packet, so there are many; they are touched only as far as packets reach.
 */
const SLOTS = 64
const SLOT = 65_536
const ICMP_SLOTS = 8
const ICMP_SLOT = 2_048
/** Inner packets of UDP-encapsulated transport mode, of one batch: the kernel joins at most 64 datagrams a slot. */
const REBUILD_ROOM = SLOTS * (SLOT + 64 * REBUILD_SLACK)

/** Receive slots of one socket, one behind the other. */
export interface SlotArea {
  readonly count: number
  /** Slab offset of the first one, HEAD_ROOM octets behind where the area begins. */
  readonly at: number
  /** Octets that a packet may have. */
  readonly room: number
  /** From one slot to the next. */
  readonly stride: number
}

/** Where sealed packets gather. */
export interface OutArea {
  readonly at: number
  /** From here on they must be sent before another packet is sealed. */
  readonly full: number
}

/** The areas of a lane's slab, as slab offsets unless they say more. */
export interface LaneMemory {
  /** Octets of all of them, the slab's scratch area not included. */
  readonly length: number
  readonly segmentHeaders: number
  readonly joinHeaders: number
  /** The packet read from the TUN device; the vnet header lies in front of it. */
  readonly tunPacket: number
  readonly oversize: number
  readonly fragmentHeader: number
  readonly outerFragmentHeader: number
  readonly reassembly: number
  readonly pending: number
  readonly out: OutArea
  readonly rebuild: RebuildArea
  /** In the order of the sockets. */
  readonly slots: readonly SlotArea[]
}

/** Lays out the memory of a lane with these sockets. Each area begins on a cache line. */
export function planLane(sockets: readonly SocketSpec[]): LaneMemory {
  let end = SCRATCH_LEN
  const take = (octets: number): number => {
    const at = end
    end += toCacheLine(octets)
    return at
  }
  const outArea = (): OutArea => {
    const at = take(OUT_ROOM + SEALED_MAX + FRAGMENTS_MAX)
    return { at, full: at + OUT_ROOM }
  }
  const slotArea = (spec: SocketSpec): SlotArea => {
    const [count, room] = hearsIcmp(spec) ? [ICMP_SLOTS, ICMP_SLOT] : [SLOTS, SLOT]
    const stride = HEAD_ROOM + room
    return { count, at: take(count * stride) + HEAD_ROOM, room, stride }
  }
  const areas = {
    segmentHeaders: take(SEGMENT_HEADER_MAX),
    joinHeaders: take(coalescerHeaderRoom),
    tunPacket: take(HEAD_ROOM + TUN_PACKET_MAX + TAIL_ROOM) + HEAD_ROOM,
    oversize: take(OVERSIZE_ROOM),
    fragmentHeader: take(FRAGMENT_HEADER_ROOM),
    outerFragmentHeader: take(FRAGMENT_HEADER_ROOM),
    reassembly: take(REASSEMBLY_ROOM),
    pending: take(pendingRoom + TAIL_ROOM),
    out: outArea(),
    rebuild: { at: take(REBUILD_ROOM), length: REBUILD_ROOM },
    slots: sockets.map(slotArea),
  }
  return { ...areas, length: end - SCRATCH_LEN }
}
