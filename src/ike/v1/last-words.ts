import type { Millis } from '../environment.js'

// A Delete has no answer in IKEv1 (RFC 2408 section 5.15), and a peer that misses it goes on sending to nobody. The same octets
// go out again a few times: whoever has had them knows the message ID.

/** How often after the first time. */
const TIMES = 2
/** Waiting messages; above it the oldest is given up. */
const WAITING_MAX = 64

interface Word {
  readonly message: Uint8Array
  readonly times: number
  readonly dueAt: Millis
}

export class LastWords {
  private readonly schedule: readonly number[]
  /** In no order. */
  private words: Word[] = []

  /** @param schedule milliseconds after each sending */
  constructor(schedule: readonly number[]) {
    this.schedule = schedule
  }

  /** Keeps a message that has just been sent. */
  add(now: Millis, message: Uint8Array): void {
    if (this.words.length >= WAITING_MAX) this.words.shift()
    this.words.push({ message, times: 1, dueAt: now + this.wait(1) })
  }

  /** Messages to send again now. */
  due(now: Millis): Uint8Array[] {
    const due = this.words.filter((w) => w.dueAt <= now)
    if (due.length === 0) return []
    const again = due.map((w) => ({ ...w, times: w.times + 1, dueAt: now + this.wait(w.times + 1) }))
    this.words = [...this.words.filter((w) => w.dueAt > now), ...again.filter((w) => w.times <= TIMES)]
    return due.map((w) => w.message)
  }

  get isEmpty(): boolean {
    return this.words.length === 0
  }

  nextDeadline(): Millis | undefined {
    return this.words.reduce<Millis | undefined>(
      (least, w) => (least === undefined ? w.dueAt : Math.min(least, w.dueAt)),
      undefined,
    )
  }

  private wait(times: number): number {
    return this.schedule[times - 1] ?? 1_000
  }
}
