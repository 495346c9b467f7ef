/**
 * Deadlines are met at multiples of this: what many peers wait for falls together, and a deadline that moves by less costs no
 * timer. Retransmission and lifetimes are longer by far.
 */
const GRID_MS = 20
/** Longest sleep; setTimeout cannot hold more than 2^31 - 1 ms, and a clock that was set shows sooner. */
const SLEEP_MAX_MS = 60_000

/**
 * One timer for everything that the sans-I/O engines wait for: sleeps until `nextDeadline`, runs `tick`, and so on. Call
 * `arm` after everything that can change the deadline.
 */
export class DeadlineTimer {
  private readonly nextDeadline: () => number | undefined
  private readonly tick: (now: number) => void
  private timer: NodeJS.Timeout | undefined
  /** When the timer that runs will go off; undefined while there is none. */
  private wakeAt: number | undefined
  private stopped = false

  constructor(nextDeadline: () => number | undefined, tick: (now: number) => void) {
    this.nextDeadline = nextDeadline
    this.tick = tick
  }

  arm(): void {
    const deadline = this.stopped ? undefined : this.nextDeadline()
    if (deadline === undefined) return this.disarm()
    const now = performance.now()
    const wakeAt = deadline <= now ? now : Math.min(now + SLEEP_MAX_MS, onGrid(deadline))
    // The one that runs goes off in time, if not too early: it looks again then.
    if (this.wakeAt !== undefined && this.wakeAt <= wakeAt && this.wakeAt > wakeAt - GRID_MS) return
    this.disarm()
    this.wakeAt = wakeAt
    this.timer = setTimeout(() => this.wake(), Math.max(0, Math.ceil(wakeAt - now)))
  }

  private wake(): void {
    this.wakeAt = undefined
    this.tick(performance.now())
    this.arm()
  }

  private disarm(): void {
    clearTimeout(this.timer)
    this.wakeAt = undefined
  }

  stop(): void {
    this.stopped = true
    this.disarm()
  }
}

const onGrid = (ms: number): number => Math.ceil(ms / GRID_MS) * GRID_MS
