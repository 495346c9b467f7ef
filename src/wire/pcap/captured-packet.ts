/** The longest captured packet, as libpcap has it. A length above it is a broken file, not a packet. */
export const CAPTURED_MAX = 262_144
/** Interfaces that a section of a pcapng file may describe. */
export const INTERFACES_MAX = 4096

/** One packet of a capture. The reader fills it anew for each; its octets are valid until the next one is asked for. */
export interface CapturedPacket {
  bytes: Uint8Array
  at: number
  /** Octets that are there. */
  length: number
  /** Octets that the packet had on the wire; more than `length` when the capture cut it off. */
  originalLength: number
  linkType: number
  /** Number of the interface in its section; 0 in a pcap file. */
  interfaceId: number
  /** Nanoseconds since 1970; undefined where the format has no time (simple packet blocks). */
  timeNs: bigint | undefined
  /** Where its record begins in the file. */
  offset: number
}
