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
  private stopped = false

  constructor(nextDeadline: () => number | undefined, tick: (now: number) => void) {
    this.nextDeadline = nextDeadline
    this.tick = tick
  }

  arm(): void {
    clearTimeout(this.timer)
    if (this.stopped) return
    const deadline = this.nextDeadline()
    if (deadline === undefined) return
    const sleep = Math.min(SLEEP_MAX_MS, Math.max(0, Math.ceil(deadline - performance.now())))
    this.timer = setTimeout(() => {
      this.tick(performance.now())
      this.arm()
    }, sleep)
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }
}
