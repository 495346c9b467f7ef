// Why the data path did not carry a packet. A pipeline returns a length (zero or more) or one of these; every code is
// negative, has its own counter and a test that produces it. `-code` is the counter's index.

/** A packet that was dropped, by cause. The name of a code in `status` is its key in lower case with hyphens. */
export const DROP = {
  /** What was to be protected, or came out of the tunnel, is no whole IP packet: version, header length, total length. */
  MALFORMED_INNER: -1,
  /** No policy covers the packet (RFC 4301 section 5.1: nothing leaves in the clear). */
  NO_POLICY: -2,
  /** The policy has no SA, and the packet found no place to wait for one. */
  NO_SA: -3,
  /** The policy's SA was negotiated for less than the policy, and not for this packet (RFC 7296 section 2.9). */
  OUTSIDE_SA: -4,
  /** The SA has reached a hard limit of its lifetime. */
  SA_EXPIRED: -5,
  /** The SA's sequence numbers are used up (RFC 4303 section 3.3.3: they never start again). */
  SEQUENCE_EXHAUSTED: -6,
  /** Transport mode protects whole packets only, not fragments (RFC 4303 section 3.3.4, RFC 4302 section 3.3.4). */
  FRAGMENT_IN_TRANSPORT: -7,
  /** With its protection the packet would be longer than an IP packet can be. */
  TOO_LONG: -8,
  /** Extension headers or options that the ICV or transport mode cannot be made over: a source route, for example. */
  UNSUPPORTED_HEADER: -9,

  /** Outer packet cut short, or no sound IP header. */
  MALFORMED_OUTER: -10,
  /** Outer packet is a fragment (RFC 4303 section 3.4.1: reassembled before, or not at all). */
  OUTER_FRAGMENT: -11,
  /** Outer packet is neither ESP nor AH. */
  NOT_IPSEC: -12,
  /** No inbound SA has this SPI. */
  UNKNOWN_SPI: -13,
  /** The SA with this SPI belongs to another address of this host. */
  WRONG_DESTINATION: -14,
  /** The sequence number was received before. */
  REPLAYED: -15,
  /** The sequence number lies behind the replay window, or the extended one would lie before the first packet. */
  TOO_OLD: -16,
  /** Length does not fit the SA's algorithms: too short, or no multiple of the block. AH: its own length field. */
  BAD_LENGTH: -17,
  /** The ICV is wrong: forged, changed on the way, or keys differ. */
  BAD_ICV: -18,
  /** Authentic, but its padding is not 1, 2, 3, ... or longer than the packet (RFC 4303 section 2.4). */
  BAD_PADDING: -19,
  /** A dummy packet, next header 59, made to be discarded (RFC 4303 section 2.6). */
  DUMMY: -20,
  /** Authentic, but the next header does not fit the SA's mode. */
  BAD_NEXT_HEADER: -21,
  /** Authentic, but not what the SA was negotiated for (RFC 4301 section 5.2 step 4). */
  SELECTOR_MISMATCH: -22,
  /** Congestion marked on a packet whose ends do not understand the mark (RFC 6040 section 4.2). */
  ECN_DROP: -23,

  /** A packet with segmentation offload that cannot be cut. */
  UNSEGMENTABLE: -24,
  /** A packet that waited for an SA too long. */
  PENDING_EXPIRED: -25,
  /** The kernel did not take an outer packet. */
  SEND_FAILED: -26,
  /** The TUN device did not take an inner packet. */
  TUN_REFUSED: -27,
  /** An IKE message above the rate that is handed on. */
  IKE_OVERLOAD: -28,
  /** UDP-encapsulated transport mode: no room is left to put an IP header in front of the packet. */
  NO_ROOM: -29,
  /** Larger than the path, and not to be cut; its sender was told (RFC 4301 section 8.2). */
  TOO_BIG: -30,
  /** An ICMP message that quotes no SA of ours, or tells a path MTU that nobody has. Nothing follows from it. */
  ICMP_IGNORED: -31,
  /** The lane that has the SA for this lane's packets does not keep up. */
  LANE_BUSY: -32,
  /** Fragments that only as a whole packet could be protected: some are missing, or they do not fit together. */
  FRAGMENTS_LOST: -33,
} as const

export type DropName = keyof typeof DROP
export type DropCode = (typeof DROP)[DropName]

/**
 * Result of an outbound lookup: the packet's policy, named in `Outbound.policy`, has no SA yet; one should be negotiated.
 * Not a drop: whether the packet waits is the caller's decision (DROP.NO_SA when it does not).
 */
export const ACQUIRE = -64

/** Name of each code by its counter index (`-code`); index 0 is empty. */
export const DROP_NAMES: readonly string[] = [
  '',
  ...Object.keys(DROP).map((k) => k.toLowerCase().replaceAll('_', '-')),
]
