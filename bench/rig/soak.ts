import { setTimeout as sleep } from 'node:timers/promises'
import { type Figures, median } from '../figures.js'
import { tcpStreams } from './iperf.js'
import type { Workload } from './session.js'
import { residentMiB } from './usage.js'

/** Part of the samples that a point of comparison is the median of. */
const EDGE = 0.1

/** Full load for a long time, and the memory of both gateways each second of it. */
export function soak(seconds: number, figures: Figures): Workload {
  return {
    section: 'soak',
    async run(session) {
      if (session.gatewayPids.a.length === 0) return
      const started = performance.now()
      const samples: (readonly [number, number])[] = []
      const load = { over: false }
      const stream = tcpStreams(session.lab, session, 1, seconds).finally(() => {
        load.over = true
      })
      const sampled = (async () => {
        while (!load.over) {
          const { a, b } = session.gatewayPids
          samples.push([(performance.now() - started) / 1000, Math.max(residentMiB(a), residentMiB(b))])
          await sleep(1000)
        }
      })()
      const { gbits } = await stream
      await sampled
      const metric = `RSS of the larger gateway, ${seconds} s at full load`
      figures.series.push({
        section: 'soak',
        subject: session.contender.name,
        metric,
        unit: 'MiB',
        points: samples,
      })
      const rss = samples.map(([, mib]) => mib)
      session.record({ metric: 'one TCP stream', unit: 'Gbit/s', better: 'higher' }, gbits)
      session.record({ metric, unit: 'MiB', better: 'lower' }, Math.max(...rss))
      session.record(
        { metric: `${metric}: growth over the last half`, unit: 'MiB', better: 'lower' },
        growthOverLastHalf(rss),
      )
    },
  }
}

/** Median of the last tenth of the samples less that of the first tenth behind the middle. */
export function growthOverLastHalf(samples: readonly number[]): number {
  const edge = Math.max(1, Math.floor(samples.length * EDGE))
  const middle = samples.length >> 1
  return median(samples.slice(-edge)) - median(samples.slice(middle, middle + edge))
}
