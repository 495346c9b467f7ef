import { type Contender, plain } from '../contenders/contender.js'
import { CONTENDERS } from '../contenders/contenders.js'
import type { Session, Workload } from '../rig/session.js'
import { cpuSeconds, processesIn } from '../rig/usage.js'
import { Control } from './control.js'
import { PAGE } from './guest.js'
import { socatTls, ssh, type Transport, tcp } from './transports.js'

/** A contender of the rig, and what carries the stream through it. */
export interface Migrator extends Contender {
  readonly transport: Transport
}

const overPlain = (name: string, transport: Transport): Migrator => ({
  ...plain,
  name,
  kind: transport === tcp ? 'bound' : 'peer',
  missing: () => transport.missing(),
  transport,
})

const throughGateway = (name: string): Migrator => {
  const contender = CONTENDERS.find((c) => c.name === name)
  if (!contender) throw new Error(`no contender is called ${name}`)
  return { ...contender, transport: tcp }
}

export const MIGRATORS: readonly Migrator[] = [
  overPlain('plain TCP', tcp),
  throughGateway('C limit'),
  throughGateway('sallyport ipsec-mb UDP'),
  throughGateway('sallyport openssl UDP'),
  overPlain('ssh pipe', ssh()),
  overPlain('ssh pipe, aes128-gcm', ssh('aes128-gcm@openssh.com')),
  overPlain('socat TLS', socatTls),
  throughGateway('strongSwan kernel-libipsec'),
  throughGateway('wireguard-go'),
]

/** Page writes a second of the guest. */
export const DIRTY_RATES = { idle: 200, medium: 5_000, heavy: 50_000 } as const
/** The guest writes to this part of its memory. */
const WORKING_SET = 1 / 4

interface Migrated {
  readonly seconds: number
  readonly downtimeSeconds: number
  readonly octets: number
  readonly rounds: number
  readonly stopAndCopyPages: number
}

/** A guest of `memoryMiB` moves from host a to host b while it runs, idle, busy and very busy. */
export function migration(memoryMiB: number, rates: readonly (keyof typeof DIRTY_RATES)[]): Workload {
  return {
    section: 'migration',
    async run(session) {
      for (const rate of rates) await migrate(session, memoryMiB, rate)
    },
  }
}

async function migrate(session: Session, memoryMiB: number, rate: keyof typeof DIRTY_RATES): Promise<void> {
  const { lab } = session
  const { transport } = session.contender as Migrator
  const workingSet = Math.floor(((memoryMiB * 2 ** 20) / PAGE) * WORKING_SET)
  const sender = await transport.start(lab, session, [
    ...['--memory', String(memoryMiB), '--dirty', String(DIRTY_RATES[rate])],
    ...['--working-set', String(workingSet)],
  ])
  const control = new Control(sender)
  try {
    await control.line()
    const pids = { a: processesIn(lab.namespace('a')), b: processesIn(lab.namespace('b')) }
    const before = { a: cpuSeconds(pids.a), b: cpuSeconds(pids.b) }
    control.order()
    const m = JSON.parse(await control.line()) as Migrated
    const used = { sending: cpuSeconds(pids.a) - before.a, receiving: cpuSeconds(pids.b) - before.b }
    control.order()
    const digests = JSON.parse(await control.line()) as { here: string; there: string }
    if (digests.here !== digests.there) throw new Error('the memory arrived other than it was sent')
    const record = (metric: string, unit: string, value: number, better: 'lower' | 'higher' = 'lower') =>
      session.record({ metric: `${rate}: ${metric}`, unit, better }, value)
    record('total time', 's', m.seconds)
    record('downtime', 'ms', m.downtimeSeconds * 1000)
    record('rounds', 'rounds', m.rounds)
    record('sent', 'MiB', m.octets / 2 ** 20)
    record('rate', 'Gbit/s', (m.octets * 8) / m.seconds / 1e9, 'higher')
    for (const role of ['sending', 'receiving'] as const)
      record(`CPU of the ${role} host`, 's/GiB', used[role] / (m.octets / 2 ** 30))
  } finally {
    control.end()
  }
}
