import { equalOctets } from '../../bytes/octets.js'
import { parseIkeHeader } from '../../wire/ike/header.js'
import type { Millis } from '../environment.js'
import type { Path } from '../path.js'
import type { Outgoing } from './outgoing.js'

// Message IDs and retransmission, RFC 7296 sections 2.1 to 2.3, with a window of one: each end has one request under way,
// repeats it octet for octet until it is answered, and keeps its last response to answer repetitions. The octets are those of
// every fragment; what has been sent twice in vain is cut once more, into smaller ones.

/** Sendings beyond the schedule of a request to a peer that is heard all the same, and those out of turn: less than it answers. */
const STUBBORN_MAX = 3
const HURRIED_MAX = 6

/** Sendings of a message after which a way that loses large datagrams is the likely cause. */
const LARGE_TIMES = 2

/** @param times how often it was sent */
const nextTime = (message: Outgoing, times: number): Outgoing =>
  times < LARGE_TIMES ? message : (message.smaller?.() ?? message)

interface Sent {
  readonly id: number
  readonly message: Outgoing
  readonly path: Path
  readonly schedule: readonly number[]
  readonly times: number
  readonly since: Millis
  /** The last sending, in its turn or out of it. */
  readonly sentAt: Millis
  readonly hurried: number
  readonly dueAt: Millis
}

interface Answered {
  /** Of a request in fragments the first one, which alone is answered again (RFC 7383 section 2.6.1). */
  readonly request: Uint8Array
  response: Outgoing
  repeats: number
}

export class Window {
  private readonly repeatsMax: number
  private sent: Sent | undefined
  private answer: Answered | undefined
  private ownId = 0
  private peersId = 0

  /** @param repeats how often one response is sent again */
  constructor(repeats: number) {
    this.repeatsMax = repeats
  }

  /** The Message ID of our next request, or of the one under way. */
  get nextId(): number {
    return this.ownId
  }

  /** The Message ID that the peer's next request must have. */
  get expectedId(): number {
    return this.peersId
  }

  get isWaiting(): boolean {
    return this.sent !== undefined
  }

  /**
   * A request goes out with `nextId`, in the place of one that is under way if there is one.
   * @param message kept as it is
   * @param schedule milliseconds to wait after each sending
   */
  send(now: Millis, message: Outgoing, path: Path, schedule: readonly number[]): void {
    this.sent = {
      id: this.ownId,
      message,
      path,
      schedule,
      times: 1,
      since: now,
      sentAt: now,
      hurried: 0,
      dueAt: now + (schedule[0] ?? 0),
    }
  }

  /** Our request that waits for its response. */
  get underWay(): Outgoing | undefined {
    return this.sent?.message
  }

  /** Its exchange type; undefined when there is none. */
  get exchange(): number | undefined {
    const message = this.sent?.message.datagrams[0]
    return message && parseIkeHeader(message).exchange
  }

  /** Whether a response answers the request under way. */
  answers(id: number): boolean {
    return this.sent?.id === id
  }

  /** The request under way has its response. */
  finish(): void {
    this.sent = undefined
    this.ownId++
  }

  nextDeadline(): Millis | undefined {
    return this.sent?.dueAt
  }

  /** Of a request that had to be repeated: when it was sent first. */
  silentSince(): Millis | undefined {
    return this.sent !== undefined && this.sent.times > 1 ? this.sent.since : undefined
  }

  /** Whether the request under way was repeated for the first time just now. */
  get isRepeatedOnce(): boolean {
    return this.sent?.times === 2
  }

  /**
   * What is due: the request once more, or the insight that nobody answers. A peer that was heard of since the last sending lives: it
   * is the messages that are lost, and the last wait of the schedule is repeated, so often.
   * @param heardAt when anything authentic last came from the peer
   */
  due(
    now: Millis,
    heardAt: Millis = Number.NEGATIVE_INFINITY,
  ): { readonly message: Outgoing; readonly path: Path } | 'silent' | undefined {
    const { sent } = this
    if (sent === undefined || sent.dueAt > now) return undefined
    const { schedule, times } = sent
    const stubborn = heardAt > sent.sentAt && times < schedule.length + STUBBORN_MAX
    const wait = schedule[times] ?? (stubborn ? schedule.at(-1) : undefined)
    if (wait === undefined) {
      this.sent = undefined
      return 'silent'
    }
    const message = nextTime(sent.message, times)
    this.sent = { ...sent, message, times: times + 1, sentAt: now, dueAt: now + wait }
    return this.sent
  }

  /**
   * Something waits for the request under way: it goes out of turn, once in so many milliseconds and a bounded number of times. The
   * schedule stays.
   */
  hurry(now: Millis, everyMs: number): Outgoing | undefined {
    const { sent } = this
    if (sent === undefined || now - sent.sentAt < everyMs || sent.hurried >= HURRIED_MAX) return undefined
    this.sent = { ...sent, sentAt: now, hurried: sent.hurried + 1 }
    return sent.message
  }

  /**
   * A request of the peer's that we have answered already.
   * @returns the same response, undefined when it is another request, 'enough' when it was repeated too often
   */
  repeated(id: number, request: Uint8Array): Outgoing | 'enough' | undefined {
    if (!this.isLast(id) || this.answer === undefined || !equalOctets(this.answer.request, request))
      return undefined
    return this.answerAgain()
  }

  /** Whether the Message ID is that of the request that we have answered last. */
  isLast(id: number): boolean {
    return id === this.peersId - 1
  }

  /** The last response once more, 'enough' when it was given too often, undefined when there is none. */
  answerAgain(): Outgoing | 'enough' | undefined {
    const { answer } = this
    if (answer === undefined) return undefined
    if (answer.repeats >= this.repeatsMax) return 'enough'
    answer.repeats++
    answer.response = nextTime(answer.response, answer.repeats)
    return answer.response
  }

  /** The keys are gone: what is repeated from now on stays as it was sent last. */
  cutNoMore(): void {
    if (this.answer !== undefined) this.answer.response = { datagrams: this.answer.response.datagrams }
  }

  /** The peer's request with `expectedId` is answered. @param request copied; its first fragment, if it has any @param response kept */
  answered(request: Uint8Array, response: Outgoing): void {
    this.answer = { request: new Uint8Array(request), response, repeats: 0 }
    this.peersId++
  }
}
