import type { SaProtocol } from '../sadb/sa-spec.js'
import type { IkeHeader } from '../wire/ike/header.js'
import type { AgreedChild, Role } from './child-sa.js'
import type { ChildConfig, IkePeerConfig } from './config.js'
import type { IkeEnvironment, Millis } from './environment.js'
import type { IkeLimits } from './limits.js'
import type { Path } from './path.js'
import type { Trouble } from './trouble.js'
import type { Cookies } from './v2/cookies.js'

// Between the manager of a peer and the machine of one IKE SA: what both versions have in common.

/**
 * HELD: made to take another one's place, which is not decided yet. CLOSING: of no use any more, but the peer has still to
 * confirm its end.
 */
export type Stage = 'CONNECTING' | 'HELD' | 'ESTABLISHED' | 'CLOSING' | 'CLOSED'

/** One IKE SA of either version. */
export interface IkeSa {
  readonly version: 1 | 2
  /** It renews itself under the same peer's eyes; otherwise the manager begins another one from the start. */
  readonly renewsItself: boolean
  readonly role: Role
  readonly initiatorSpi: Uint8Array
  /** Undefined until the responder has chosen it. */
  readonly responderSpi: Uint8Array | undefined
  readonly stage: Stage
  /** The peer has followed up our first message: somebody is really there. */
  readonly answered: boolean
  /** When our part in its first exchange began. */
  readonly startedAt: Millis
  readonly establishedAt: Millis | undefined
  /** When it is to be renewed, and when it ends; undefined until it is established. */
  readonly softAt: Millis | undefined
  readonly hardAt: Millis | undefined
  readonly path: Path
  /** The peer is behind a NAT, which may give it another address or port: it is sent to where it was heard of last. */
  readonly follows: boolean
  /** When an authentic message of the peer's came last; undefined until it is established. */
  readonly heardAt: Millis | undefined
  /** It has ended with a response of ours, which may be lost: while it is kept it repeats that, and says to all else that it is over. */
  readonly hasLastWord?: boolean
  /** Lanes of the peer's data path, as it has said in this SA; absent for one that says nothing: it has one. */
  readonly peersLanes?: number
  /**
   * Handles a message with this SA's SPIs. Never throws.
   * @param message not kept
   */
  receive(now: Millis, path: Path, header: IkeHeader, message: Uint8Array): void
  /** An authentic packet, which is no message, came another way. */
  peerMoved(now: Millis, path: Path): void
  tick(now: Millis): void
  nextDeadline(): Millis | undefined
  /** Negotiates an SA for the child; nothing when that is under way. */
  negotiate(now: Millis, child: ChildConfig): void
  negotiating(child: ChildConfig): boolean
  /** Moves the traffic of a child without SA to one that the peer has not confirmed. @returns false when there is none, or never */
  moveOver?(now: Millis, child: ChildConfig): boolean
  /** The child has no SA, and waits for the peer's answer. */
  hurry?(now: Millis, child: ChildConfig): void
  /** IKEv1: our own negotiation for the child, which the peer has not answered yet. */
  asking?(child: ChildConfig): Asking | undefined
  /** IKEv1: that one is given up. */
  yield?(now: Millis, child: ChildConfig): void
  /** Negotiates nothing more for the child; what the peer has been asked for goes on. */
  giveUp(now: Millis, child: ChildConfig): void
  /** Tells the peer that we no longer receive on these SAs. @param needed the peer would go on sending on them else */
  sendDelete(now: Millis, protocol: SaProtocol, inboundSpis: readonly number[], needed: boolean): void
  /** IKEv1: tells the peer that a packet of its came on an SPI that we do not know. */
  unknownSpi?(now: Millis, protocol: SaProtocol, spi: number): void
  /** Asks whether the peer is alive, without waiting for the configured idle time; once more now, when that is being asked. */
  checkAlive(now: Millis): void
  /** Begins to renew it now, where it renews itself. */
  renew(now: Millis): void
  /** No more renewing and no more dead peer detection: another SA has taken this one's place. */
  retire(): void
  /** The CHILD_SAs that live and die with it, which it forgets; none where they belong to the peer. */
  takeChildren(): readonly AgreedChild[]
  /** Ends it. With `tell` the peer gets a Delete; then it may be CLOSING until the owner is told that it is `gone`. */
  close(now: Millis, tell: boolean): void
  describe(): IkeSaDescription
}

/** A request of ours: its Message ID, and how often it was sent. */
export interface Asking {
  readonly id: number
  readonly times: number
}

/** What a silent peer has not sent: the answer to our request, or the confirmation of our answer. */
export type Missing = 'answer' | 'confirmation'

/** Post-quantum preshared key, RFC 8784. */
export interface Ppk {
  /** PPK_ID without its type, which is FIXED. */
  readonly id: Uint8Array
  readonly key: Uint8Array
  /** Without it there is no IKE SA. */
  readonly required: boolean
}

/** Keys that a first exchange is authenticated with; whoever is given them wipes them. */
export interface FirstKeys {
  readonly psk: Uint8Array
  /** Used by IKEv2 only. */
  readonly ppk: Ppk | undefined
}

/** How IKE SAs of one version come into being. */
export interface IkeVersion {
  /** Whether a message under unknown SPIs may begin an IKE SA. */
  isFirstMessage(header: IkeHeader): boolean
  /**
   * What a message under SPIs that nobody knows is answered with, unprotected (RFC 7296 section 1.5).
   * @param secret see IkeEnvironment.crashSecret
   * @returns undefined for what is not answered
   */
  answerUnknown(header: IkeHeader, secret: Uint8Array | undefined): Uint8Array | undefined
  /** Begins an IKE SA. @param keys the SA's own from now on */
  initiate(now: Millis, owner: IkeSaOwner, path: Path, initiatorSpi: Uint8Array, keys: FirstKeys): IkeSa
  /**
   * Answers a first message. Never throws.
   * @param takeKeys asked for once the proposals fit; undefined when the exchange may not go on
   * @param admission what a first message has to show under load
   * @returns undefined when the message was refused: nothing is kept then
   */
  answer(
    now: Millis,
    owner: IkeSaOwner,
    path: Path,
    header: IkeHeader,
    message: Uint8Array,
    takeKeys: () => FirstKeys | undefined,
    admission: Admission,
  ): IkeSa | undefined
}

/** How first messages are taken. */
export interface Admission {
  /** There are so many of them that a sender has to prove that it is at its address. */
  readonly busy: boolean
  /** One that has proved it: whether there is room. */
  proven(): boolean
}

/** For `status`. */
export interface IkeSaDescription {
  readonly state: string
  readonly proposal: string | undefined
  readonly nat: string | undefined
  /** What the peer leaves without an answer, once that was sent again. */
  readonly silence: Trouble | undefined
}

/** What the machine of an IKE SA tells and asks its manager. Calls come after the machine's own state is settled. */
export interface IkeSaOwner {
  readonly config: IkePeerConfig
  readonly env: IkeEnvironment
  readonly limits: IkeLimits
  /** Prefers ESP in UDP even without a NAT. */
  readonly prefersUdp: boolean
  /** Those of all peers. */
  readonly cookies: Cookies
  /** Whether to say INITIAL_CONTACT: no other SA with the peer is known. */
  isInitialContact(): boolean
  newIkeSpi(): Uint8Array
  /** For an inbound SA of the child. */
  newSpi(child: ChildConfig): number
  /** Counts a refused message and logs it once in a while; `error` becomes the peer's last error. */
  refuse(now: Millis, cause: string, error?: string, fields?: Record<string, unknown>): void
  /** The same for a message that anybody may have sent: no error of a peer that has come through. */
  refuseStranger(now: Millis, cause: string, error: string, fields?: Record<string, unknown>): void
  established(now: Millis, sa: IkeSa, initialContact: boolean): void
  /** IKEv1: the peer says later that it knows nothing of what was before this IKE SA. */
  initialContact(now: Millis, sa: IkeSa): void
  /** An IKE SA that did not come up. */
  failed(now: Millis, sa: IkeSa, reason: string, fields?: Record<string, unknown>): void
  /** IKEv1: the peer closes an IKE SA, which can still send. */
  closing(now: Millis, sa: IkeSa): void
  /**
   * The child that a first exchange is to negotiate besides; undefined when none is wanted now.
   * @param needed the peer makes no IKE SA without one: where the IKE SA alone is wanted, the first one has to do
   */
  firstChild(now: Millis, peersLanes: number, needed: boolean): ChildConfig | undefined
  /** The peer closed an established IKE SA. */
  closed(now: Millis, sa: IkeSa): void
  /** What the peer answers makes no sense: the IKE SA is of no use, and the peer is told. */
  broken(now: Millis, sa: IkeSa): void
  /** A new IKE SA that may take another one's place: it receives messages from now on. */
  held(now: Millis, next: IkeSa): void
  /** Its renewal fails, and it ends soon: another one is to be begun from the start, beside it. */
  unrenewable(now: Millis, sa: IkeSa): void
  /** `next` has taken the place of `old`, with all that belongs to it. */
  replaced(now: Millis, old: IkeSa, next: IkeSa): void
  /** The end of one that was not in use any more. */
  gone(now: Millis, sa: IkeSa): void
  /** Somebody says without proof that the peer does not know an SA of ours. */
  doubted(now: Millis): void
  /** The peer has proved that it has forgotten this IKE SA. */
  crashed(now: Millis, sa: IkeSa): void
  /** A peer that goes on under an IKE SA that has ended here. @param answer without protection, for the peer to find out */
  unknown(now: Millis, path: Path, answer: Uint8Array): void
  /** The peer does not answer any more, on this IKE SA. */
  dead(now: Millis, sa: IkeSa): void
  /** A message of the peer's came another way than before. */
  moved(now: Millis, sa: IkeSa): void
  /** We receive on a new SA from now on. Keys are wiped by the owner. */
  childInbound(now: Millis, sa: IkeSa, agreed: AgreedChild, key: Uint8Array): void
  /** The peer receives on it as well: traffic may move. */
  childOutbound(now: Millis, sa: IkeSa, agreed: AgreedChild, key: Uint8Array): void
  /** The peer never confirmed it. */
  childAbandoned(now: Millis, agreed: AgreedChild): void
  childFailed(
    now: Millis,
    sa: IkeSa,
    child: ChildConfig,
    reason: string,
    fields?: Record<string, unknown>,
    missing?: Missing,
  ): void
  /** The peer has confirmed the end of one that was replaced: what was on its way has come soon. */
  childSettled(now: Millis, agreed: AgreedChild): void
  /** The peer no longer receives on these SAs, which are outbound here. */
  childrenDeleted(now: Millis, protocol: SaProtocol, outboundSpis: readonly number[]): void
  /**
   * IKEv1: both ends began a Quick Mode for the same child, perhaps under different IKE SAs. The lower Message ID goes first: if
   * that is ours, the peer's is dropped without a trace, so that its repetition may be answered later; else ours is given up. Ours
   * has no precedence any more once it was repeated in vain: then both go on, and the first to be confirmed wins.
   * @returns whether the peer's may go on
   */
  yieldTo(now: Millis, child: ChildConfig, peersId: number): boolean
  hasTraffic(agreed: AgreedChild): boolean
  /** Milliseconds since a packet came in on any of the peer's SAs; undefined when unknown or never. */
  inboundIdleMs(): number | undefined
}
