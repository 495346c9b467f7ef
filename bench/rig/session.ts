import { Lab } from '../../test/lab/lab.js'
import type { Connection, Contender } from '../contenders/contender.js'
import type { Figures, NewFigure, Section } from '../figures.js'
import { processesIn } from './usage.js'

/** What a workload works with: two hosts that a contender has connected. */
export interface Session extends Connection {
  readonly lab: Lab
  readonly contender: Contender
  /** Length of one measurement. */
  readonly seconds: number
  /** The gateways' processes on each host. */
  readonly gatewayPids: Readonly<Record<'a' | 'b', readonly number[]>>
  record(figure: Omit<NewFigure, 'section' | 'subject' | 'mtu'>, value: number): void
}

/** One kind of load, put on every contender in the same way. */
export interface Workload {
  readonly section: Section
  run(session: Session): Promise<void>
}

export interface RigOptions {
  readonly rounds: number
  readonly seconds: number
  readonly mtu: number
  told(line: string): void
}

/** A contender that fails this often in a section is not tried again. */
const FAILURES_MAX = 2

/**
 * Puts the workloads on each contender, in turn and `rounds` times, so that a machine whose speed drifts is the same to all
 * of them. Every second round goes backwards. Every turn has a lab of its own.
 */
export async function runRig(
  contenders: readonly Contender[],
  workloads: readonly Workload[],
  figures: Figures,
  o: RigOptions,
): Promise<void> {
  const failures = new Map<string, number>()
  const absent = (contender: Contender, section: Section, why: string, failed: boolean): void => {
    const key = `${section} ${contender.name}`
    failures.set(key, (failures.get(key) ?? 0) + 1)
    figures.absent({ subject: contender.name, section, why, failed })
    o.told(`  ${contender.name}, ${section}: ${why.split('\n')[0]}`)
  }
  const present = contenders.filter((contender) => {
    const why = contender.missing()
    if (why !== undefined) for (const { section } of workloads) absent(contender, section, why, false)
    return why === undefined
  })
  for (let round = 0; round < o.rounds; round++)
    for (const contender of round % 2 === 0 ? present : [...present].reverse()) {
      const due = workloads.filter(
        (w) => (failures.get(`${w.section} ${contender.name}`) ?? 0) < FAILURES_MAX,
      )
      if (due.length === 0) continue
      o.told(`round ${round + 1} of ${o.rounds}, MTU ${o.mtu}: ${contender.name}`)
      const lab = await Lab.create({ wire: 'cable', mtu: o.mtu })
      try {
        const way = await contender.connect(lab)
        const gatewayPids = { a: processesIn(lab.namespace('a')), b: processesIn(lab.namespace('b')) }
        for (const workload of due) {
          const { section } = workload
          const record: Session['record'] = (figure, value) => {
            figures.add({ ...figure, section, subject: contender.name, mtu: o.mtu }, value)
            o.told(`  ${figure.metric}: ${value.toPrecision(4)} ${figure.unit}`)
          }
          try {
            await workload.run({ ...way, lab, contender, seconds: o.seconds, gatewayPids, record })
          } catch (error) {
            absent(contender, section, (error as Error).message, true)
          }
        }
      } catch (error) {
        for (const { section } of due) absent(contender, section, (error as Error).message, true)
      } finally {
        lab.close()
      }
    }
}
