// struct virtio_net_hdr of a TUN device with IFF_VNET_HDR (linux/virtio_net.h), 10 octets, little-endian as set by
// TUNSETVNETLE or as x86-64 and AArch64 have it anyway:
//
//  | flags (u8) | gso_type (u8) | hdr_len (u16) | gso_size (u16) | csum_start (u16) | csum_offset (u16) |

export const VNET_HDR_LEN = 10

/** The checksum from csum_start on is not finished: its field holds the pseudo-header's sum. */
export const VNET_FLAG_NEEDS_CSUM = 1
export const VNET_FLAG_DATA_VALID = 2

export const VNET_GSO_NONE = 0
export const VNET_GSO_TCPV4 = 1
export const VNET_GSO_TCPV6 = 4
/** UDP segmentation as UDP_SEGMENT does it (Linux 6.2). */
export const VNET_GSO_UDP_L4 = 5
/** Flag beside a TCP type: the packet has CWR set. */
const VNET_GSO_ECN = 0x80

/** gso_type without its ECN flag. The caller has checked that VNET_HDR_LEN octets follow `at`; so for all of these. */
export const vnetGsoType = (b: Uint8Array, at: number): number => b[at + 1]! & ~VNET_GSO_ECN
export const vnetNeedsChecksum = (b: Uint8Array, at: number): boolean => (b[at]! & VNET_FLAG_NEEDS_CSUM) !== 0
/** Octets of headers; the kernel means it as a hint. */
export const vnetHeaderLength = (b: Uint8Array, at: number): number => b[at + 2]! | (b[at + 3]! << 8)
/** Transport payload of each segment but the last. */
export const vnetGsoSize = (b: Uint8Array, at: number): number => b[at + 4]! | (b[at + 5]! << 8)
/** Where the checksum begins, from the start of the packet. */
export const vnetChecksumStart = (b: Uint8Array, at: number): number => b[at + 6]! | (b[at + 7]! << 8)
/** Where its field is, from csum_start. */
export const vnetChecksumOffset = (b: Uint8Array, at: number): number => b[at + 8]! | (b[at + 9]! << 8)

/** Header of a packet that needs nothing from the kernel. */
export function writePlainVnetHeader(b: Uint8Array, at: number): void {
  b.fill(0, at, at + VNET_HDR_LEN)
}

/** Header of a packet that the kernel has to cut: its checksum field must hold the pseudo-header's sum, not complemented. */
export function writeVnetHeader(
  b: Uint8Array,
  at: number,
  gsoType: number,
  headerLength: number,
  gsoSize: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  b[at] = VNET_FLAG_NEEDS_CSUM
  b[at + 1] = gsoType
  b[at + 2] = headerLength
  b[at + 3] = headerLength >>> 8
  b[at + 4] = gsoSize
  b[at + 5] = gsoSize >>> 8
  b[at + 6] = checksumStart
  b[at + 7] = checksumStart >>> 8
  b[at + 8] = checksumOffset
  b[at + 9] = checksumOffset >>> 8
}
