import { flood } from './flood.js'
import type { Workload } from './session.js'

/** Octets of the IP packet that the tunnel gets, all of which fit any contender's tunnel. */
const SIZES = [64, 512, 1400]
/** IPv4 and UDP header. */
const HEADERS = 28
/** Few enough to fit every queue of the way, enough to keep every stage busy. */
const WINDOW = 512

/**
 * UDP packets a second, counted where they arrive. `window` keeps at most 512 on their way, so that nobody wastes the
 * processor on packets that are lost later; `flood` sends without regard, as a guest that knows no congestion control.
 */
export const pps: Workload = {
  section: 'pps',
  async run(session) {
    for (const size of SIZES)
      for (const way of ['window', 'flood'] as const) {
        const report = await flood(session.lab, session, {
          octets: size - HEADERS,
          seconds: session.seconds / 2,
          ...(way === 'window' && { window: WINDOW }),
        })
        const perSecond = report.received / report.seconds
        session.record(
          { metric: `${size} octets, ${way}`, unit: 'packets/s', better: 'higher' },
          Number.isFinite(perSecond) ? perSecond : 0,
        )
        session.record(
          { metric: `${size} octets, ${way}: loss`, unit: '%', better: 'lower' },
          report.sent === 0 ? 0 : (1 - report.received / report.sent) * 100,
        )
      }
  },
}
