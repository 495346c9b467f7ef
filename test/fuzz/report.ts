import Table from 'cli-table3'
import type { RunResult } from './runner.js'

const grouped = (n: number): string => Math.round(n).toLocaleString('en-US').replaceAll(',', ' ')
const mib = (octets: number): string => (octets / 2 ** 20).toFixed(1)

/** Counts of each target, for a terminal. */
export function countsTable(done: RunResult, outcomes: boolean): string {
  const table = new Table({
    head: ['target', 'seconds', 'cases', 'inputs', 'inputs/s', 'slowest ms', 'growth MiB', 'failures'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const c of done.tested) {
    const rate = c.ms > 0 ? (c.inputs / c.ms) * 1000 : 0
    table.push([
      c.target.name,
      (c.ms / 1000).toFixed(0),
      grouped(c.cases),
      grouped(c.inputs),
      grouped(rate),
      c.slowestMs.toFixed(1),
      mib(c.growth),
      c.failures,
    ])
  }
  const rate = grouped(done.inputs / done.seconds)
  const failures = done.tested.reduce((n, t) => n + t.failures, 0)
  table.push(['all', done.seconds.toFixed(0), '', grouped(done.inputs), rate, '', '', failures])
  if (!outcomes) return table.toString()
  const lines = done.tested.flatMap((c) => [
    `\n${c.target.name}`,
    ...[...c.tally].sort((a, b) => b[1] - a[1]).map(([word, n]) => `  ${String(n).padStart(10)}  ${word}`),
  ])
  return [table.toString(), ...lines].join('\n')
}

export function memoryLine(d: RunResult): string {
  const { half, end } = d.memory
  return `${d.seconds.toFixed(0)} s; live heap ${mib(half.live)} MiB at half time, ${mib(end.live)} MiB at the end; RSS ${mib(half.rss)} and ${mib(end.rss)} MiB`
}
