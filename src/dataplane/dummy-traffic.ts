import { randomInt } from 'node:crypto'
import type { WayOut } from './way-out.js'

/** Octets that a dummy packet seems to have inside: a bare TCP acknowledgement, and what every path carries. */
const LENGTH_MIN = 40
const LENGTH_MAX = 1_280

/** Packets that peers discard, in the rates that the SAs' policies want (RFC 4303 section 2.6). */
export class DummyTraffic {
  /** Some are wanted: the lane is not to sleep until it is woken. */
  wanted = false
  private readonly wayOut: WayOut
  private sentAtMs = 0

  constructor(wayOut: WayOut) {
    this.wayOut = wayOut
  }

  /** Sends those that are due since the last time. */
  send(nowMs: number): void {
    const { wayOut } = this
    const seconds = Math.min(1, (nowMs - this.sentAtMs) / 1000)
    this.sentAtMs = nowMs
    this.wanted = false
    for (const [sa, route] of wayOut.routes) {
      const { dummyRate } = sa.handling
      if (dummyRate === 0 || !sa.tunnel || !sa.esp) continue
      this.wanted = true
      const due = dummyRate * seconds
      const count = Math.floor(due) + (randomInt(1000) < (due % 1) * 1000 ? 1 : 0)
      for (let i = 0; i < count; i++) {
        const length = sa.tfcPadding(0) || randomInt(LENGTH_MIN, Math.min(sa.fits, LENGTH_MAX))
        if (!wayOut.sealDummy(sa, route, length)) break
      }
    }
    wayOut.flush()
  }
}
