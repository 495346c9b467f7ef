// Every bound of the pre-phase in one place. The constructor of Prephase takes replacements for tests and tuning. All
// tables are per configured peer, so that the number of peers bounds the whole, and a flood in the name of one peer
// takes nothing from another.

export interface PrephaseLimits {
  /**
   * Milliseconds that the initiator waits after each sending of a step, five sendings in all: it repeats after 1, 2, 4
   * and 8 s and gives the attempt up 8 s later.
   */
  readonly retransmitMs: readonly number[]
  /** Attempts with fresh numbers one after another before `failed` is called. */
  readonly attempts: number
  /** How long the responder waits for step 3: the initiator may still be repeating step 1, then step 3, all the way. */
  readonly halfOpenMs: number
  /** How long a finished pre-phase waits for its IKE exchange. */
  readonly finishedMs: number
  /**
   * How long an end that meant to start stands back when the peer's attempt goes first, before it begins again: longer
   * than the lost-and-repeated first IKE messages need.
   */
  readonly holdMs: number
  /** Half-open responder sessions a peer; above it the oldest goes. Classic cannot tell the peer's from a stranger's. */
  readonly halfOpenPerPeer: number
  /** Finished, not yet used responder sessions a peer; above it the oldest goes. */
  readonly finishedPerPeer: number
  /** Answers with the same octets to one repeated step; later repetitions are dropped. */
  readonly repeats: number
  /** Messages from one peer's address that belong to an exchange under way: tokens a second and bucket size. */
  readonly messagesPerSecond: number
  readonly messagesBurst: number
  /** All others, which cost one MAC at most: apart, so that a flood in the peer's name leaves exchanges under way alone. */
  readonly strangersPerSecond: number
  readonly strangersBurst: number
  /** Classic only, which cannot verify step 1: new step 1 messages a second from one peer's address, and bucket size. */
  readonly classicPerSecond: number
  readonly classicBurst: number
  /** Log lines about refused messages: one for a cause and peer in so many milliseconds. */
  readonly logEveryMs: number
}

export const PREPHASE_LIMITS: PrephaseLimits = {
  retransmitMs: [1_000, 2_000, 4_000, 8_000, 8_000],
  attempts: 3,
  halfOpenMs: 32_000,
  finishedMs: 60_000,
  holdMs: 10_000,
  halfOpenPerPeer: 16,
  finishedPerPeer: 8,
  repeats: 8,
  messagesPerSecond: 1_000,
  messagesBurst: 1_000,
  strangersPerSecond: 4_000,
  strangersBurst: 4_000,
  classicPerSecond: 2,
  classicBurst: 8,
  logEveryMs: 10_000,
}
