import { tcpStreams } from './iperf.js'
import type { Session, Workload } from './session.js'
import { cpuSeconds, residentMiB } from './usage.js'

/** One and eight TCP streams: how much comes through, and what the gateways use for it. */
export const tcp: Workload = {
  section: 'rig',
  async run(session) {
    await streams(session, 1, 'one TCP stream')
    await streams(session, 8, 'eight TCP streams')
  },
}

async function streams(session: Session, count: number, metric: string): Promise<void> {
  const { a, b } = session.gatewayPids
  const before = { a: cpuSeconds(a), b: cpuSeconds(b) }
  const { gbits, octets } = await tcpStreams(session.lab, session, count, session.seconds)
  const gigabit = (octets * 8) / 1e9
  session.record({ metric, unit: 'Gbit/s', better: 'higher' }, gbits)
  if (a.length === 0) return
  const used = { sending: cpuSeconds(a) - before.a, receiving: cpuSeconds(b) - before.b }
  for (const role of ['sending', 'receiving'] as const)
    session.record(
      { metric: `${metric}: CPU of the ${role} gateway`, unit: 's/Gbit', better: 'lower' },
      used[role] / gigabit,
    )
  session.record(
    { metric: `${metric}: RSS of the larger gateway`, unit: 'MiB', better: 'lower' },
    Math.max(residentMiB(a), residentMiB(b)),
  )
}
