import { cpus, release, totalmem } from 'node:os'
import { CONTENDERS, contendersNamed, ON_REQUEST } from './contenders/contenders.js'
import { benchEngines } from './engines.js'
import { Figures } from './figures.js'
import { benchIke } from './ike/ike.js'
import { IKE_SUBJECTS } from './ike/subjects.js'
import { MIGRATORS, migration } from './migration/migration.js'
import type { BenchOptions } from './options.js'
import { benchPipeline } from './pipeline.js'
import { rigMissing } from './requirements.js'
import type { Results } from './results.js'
import { latency } from './rig/latency.js'
import { pps } from './rig/pps.js'
import { benchRekey } from './rig/rekey.js'
import { runRig } from './rig/session.js'
import { soak } from './rig/soak.js'
import { tcp } from './rig/tcp.js'

const PROGRAMS = [
  ['ip', 'iproute2'],
  ['iperf3', 'iperf3'],
  ['ping', 'iputils-ping'],
] as const
/** Run length of an engine's figure, and packets through the pipeline, for a second of `--seconds`. */
const ENGINE_MS = 10
const PIPELINE_PACKETS = 100_000

/** Runs the sections that are asked for. @param told hears of the progress, line by line */
export async function measure(o: BenchOptions, told: (line: string) => void): Promise<Results> {
  const everyone = [...CONTENDERS, ...MIGRATORS, ...ON_REQUEST, ...IKE_SUBJECTS]
  if (contendersNamed(everyone, [], o.contenders).length === 0)
    throw new Error(
      `no contender is called so; there are: ${[...new Set(everyone.map((c) => c.name))].join(', ')}`,
    )
  const figures = new Figures()
  const startedAt = new Date().toISOString()
  const wanted = new Set(o.only)
  for (let round = 0; round < o.rounds; round++) {
    if (wanted.has('engines')) {
      told(`engines, round ${round + 1} of ${o.rounds}`)
      engines(figures, ENGINE_MS * o.seconds)
    }
    if (wanted.has('pipeline')) pipeline(figures, Math.ceil(PIPELINE_PACKETS * o.seconds))
  }
  const why = rigMissing(PROGRAMS)
  if (why === undefined) await wholeGateways(figures, wanted, o, told)
  else
    for (const section of o.only)
      if (section !== 'engines' && section !== 'pipeline')
        figures.absent({ subject: 'whole gateways', section, why })
  return {
    format: 1,
    startedAt,
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryMiB: Math.round(totalmem() / 2 ** 20),
      kernel: release(),
      node: process.version,
    },
    options: { ...o },
    figures: [...figures.all],
    series: figures.series as Results['series'],
    absences: figures.absences,
  }
}

async function wholeGateways(
  figures: Figures,
  wanted: ReadonlySet<string>,
  o: BenchOptions,
  told: (line: string) => void,
): Promise<void> {
  const contenders = contendersNamed(CONTENDERS, ON_REQUEST, o.contenders)
  const [mtu = 1500, ...otherMtus] = o.mtu
  const rig = { rounds: o.rounds, seconds: o.seconds, mtu, told }
  const workloads = [tcp, pps, latency].filter((w) => wanted.has(w.section))
  if (workloads.length > 0) await runRig(contenders, workloads, figures, rig)
  if (wanted.has('rig'))
    for (const larger of otherMtus) await runRig(contenders, [tcp], figures, { ...rig, mtu: larger })
  if (wanted.has('migration'))
    await runRig(contendersNamed(MIGRATORS, [], o.contenders), [migration(o.memory, o.dirty)], figures, rig)
  if (wanted.has('rekey')) await benchRekey(figures, rig)
  if (wanted.has('ike')) {
    const { handshakes, peers } = o
    await benchIke(contendersNamed(IKE_SUBJECTS, [], o.contenders), figures, { ...rig, handshakes, peers })
  }
  if (wanted.has('soak')) {
    const ours = contenders.filter((c) => c.kind === 'ours')
    const best = ours.find((c) => c.missing() === undefined) ?? ours[0]
    await runRig(best ? [best] : [], [soak(o.soakSeconds, figures)], figures, { ...rig, rounds: 1 })
  }
}

function engines(figures: Figures, milliseconds: number): void {
  for (const r of benchEngines(milliseconds)) {
    const id = { section: 'engines', subject: `${r.engine} ${r.algorithm}` } as const
    figures.add({ ...id, metric: `${r.octets} octets`, unit: 'Gbit/s', better: 'higher' }, r.gbits)
    figures.add(
      { ...id, metric: `${r.octets} octets: time`, unit: 'ns a packet', better: 'lower' },
      r.nanoseconds,
    )
  }
}

function pipeline(figures: Figures, packets: number): void {
  for (const { stage, nanoseconds } of benchPipeline(packets))
    figures.add(
      { section: 'pipeline', subject: stage, metric: 'time', unit: 'ns a packet', better: 'lower' },
      nanoseconds,
    )
}
