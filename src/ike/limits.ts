// Every bound and every interval of IKE in one place. The constructor of Ike takes replacements for tests and tuning.
// All tables are per configured peer, so that the number of peers bounds the whole.

export interface IkeLimits {
  /** Milliseconds that a sender waits after each sending of a message; it gives up after the last of them. */
  readonly retransmitMs: readonly number[]
  /** How long a responder waits for the next message of a first exchange. */
  readonly halfOpenMs: number
  /** First exchanges that a peer may have under way; above it the oldest goes. */
  readonly halfOpenPerPeer: number
  /** Established IKE SAs of a peer; above it the oldest is closed. */
  readonly ikeSasPerPeer: number
  /** IKE SAs of a peer whose Delete waits for its confirmation; above it the oldest is forgotten. */
  readonly closingPerPeer: number
  /** First messages a second from one peer's address, and burst: what may cost Diffie-Hellman work. */
  readonly firstMessagesPerSecond: number
  readonly firstMessagesBurst: number
  /**
   * IKEv2: first messages a second of all peers together, and burst, that may cost Diffie-Hellman work without a cookie; and
   * first exchanges under way of all together from which on every first message needs one.
   */
  readonly allFirstsPerSecond: number
  readonly allFirstsBurst: number
  readonly cookieAboveTotal: number
  /** Messages a second from one peer's address that belong to an IKE SA or a finished pre-phase, and burst. */
  readonly messagesPerSecond: number
  readonly messagesBurst: number
  /**
   * All others from there, which cost a look, and at most an answer for which nothing is kept: apart, so that a flood in the
   * peer's name does not shut the peer out. First messages that come with a cookie have the same for themselves.
   */
  readonly strangersPerSecond: number
  readonly strangersBurst: number
  /** Messages a second from addresses of no peer, and burst, that are told apart from a flood: none of them is a peer's. */
  readonly elsewherePerSecond: number
  readonly elsewhereBurst: number
  /** Answers with the same octets to one repeated message. */
  readonly repeats: number
  /** How long a finished exchange is kept to answer repetitions. */
  readonly finishedMs: number
  /** IKEv2: IKE SAs of a peer that have ended with a response of ours, and are kept for lingerUnsureMs to repeat it. */
  readonly endedPerPeer: number
  /** Exchanges that a peer may have under way on one IKE SA, finished ones that are still kept included. */
  readonly exchangesPerSa: number
  /** IKEv1: message IDs of each end that one IKE SA remembers; it is renewed before, and ends when our own are used up. */
  readonly messageIds: number
  /**
   * SAs that one policy may have; above it the oldest goes. In IKEv2 as many more may wait for the peer to confirm their Delete,
   * all policies of a peer taken together: above it the peer gets no new ones.
   */
  readonly childSasPerPolicy: number
  /** How long a replaced SA is kept by the end that knows that both have moved to the new one. */
  readonly lingerMs: number
  /** The same for the end that does not know: longer than the peer would repeat its last message. */
  readonly lingerUnsureMs: number
  /** Between attempts that fail; also before a policy that the peer refused is asked for again. */
  readonly retryMs: number
  /** IKEv2: about so long until what the peer answered with TEMPORARY_FAILURE is asked again. */
  readonly temporaryMs: number
  /** IKEv2: first exchanges of a peer under way from which on first messages need a cookie. */
  readonly cookieAbove: number
  /** How long the responder of a new IKE SA leaves the word to the initiator. */
  readonly responderWaitMs: number
  /** Messages without protection to one peer's address, about SPIs that we do not know: a second, and burst. */
  readonly hintsPerSecond: number
  readonly hintsBurst: number
  /** IKEv1: the same to a peer that is up, under the IKE SA's protection: each uses up a message ID. */
  readonly unknownSpisPerSecond: number
  readonly unknownSpisBurst: number
  /** Such messages of a peer's that are followed by asking whether it is alive: a second, and burst. */
  readonly doubtsPerSecond: number
  readonly doubtsBurst: number
  /** A peer that was heard of so lately is not doubted; one that stays silent for so long when it is asked is contacted anew. */
  readonly doubtMs: number
  /** NAT keepalives (RFC 3948 section 4). */
  readonly keepaliveMs: number
  /** Milliseconds after each R-U-THERE; the peer is dead after the last of them. */
  readonly dpdRetransmitMs: readonly number[]
  /** Log lines about refused messages: one for a cause and peer in so many milliseconds. */
  readonly logEveryMs: number
}

/** IKEv1: sendings without an answer after which the other end may have its way. */
export const PATIENCE = 2

export const IKE_LIMITS: IkeLimits = {
  retransmitMs: [1_000, 2_000, 4_000, 8_000, 16_000],
  halfOpenMs: 35_000,
  halfOpenPerPeer: 8,
  ikeSasPerPeer: 8,
  closingPerPeer: 16,
  firstMessagesPerSecond: 5,
  firstMessagesBurst: 20,
  allFirstsPerSecond: 50,
  allFirstsBurst: 200,
  cookieAboveTotal: 64,
  messagesPerSecond: 1_000,
  messagesBurst: 1_000,
  strangersPerSecond: 4_000,
  strangersBurst: 4_000,
  elsewherePerSecond: 100,
  elsewhereBurst: 100,
  repeats: 16,
  finishedMs: 60_000,
  endedPerPeer: 8,
  exchangesPerSa: 256,
  messageIds: 8_192,
  childSasPerPolicy: 8,
  lingerMs: 5_000,
  lingerUnsureMs: 40_000,
  retryMs: 10_000,
  temporaryMs: 1_000,
  cookieAbove: 4,
  responderWaitMs: 2_000,
  hintsPerSecond: 1,
  hintsBurst: 4,
  unknownSpisPerSecond: 0.1,
  unknownSpisBurst: 2,
  doubtsPerSecond: 1,
  doubtsBurst: 2,
  doubtMs: 1_000,
  keepaliveMs: 20_000,
  dpdRetransmitMs: [1_000, 2_000, 4_000, 8_000],
  logEveryMs: 10_000,
}
