import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Contender } from './contenders/contender.js'
import { CONTENDERS, ON_REQUEST } from './contenders/contenders.js'
import { IKE_SUBJECTS } from './ike/subjects.js'
import { measure } from './measure.js'
import { MIGRATORS } from './migration/migration.js'
import { readOptions } from './options.js'
import { checkRatios, RATIOS, type Ratio, ratiosOf } from './ratios.js'
import { htmlReport } from './report/html.js'
import { printCheck, printResults } from './report/tables.js'
import { type Baseline, baselineSchema, type Results, readJson, resultsSchema } from './results.js'

// `npm run bench`: measures, prints, and leaves JSON and a report. Exit status 1: one of ours failed, nothing could be
// measured, or the check failed.

const kinds = new Map<string, Contender['kind']>([
  ...[...CONTENDERS, ...ON_REQUEST, ...MIGRATORS].map((c) => [c.name, c.kind] as const),
  ...IKE_SUBJECTS.map((s) => [s.name, s.daemon === 'charon' ? 'peer' : 'ours'] as const),
])
const print = (text: string): void => console.log(text)

function write(file: string, contents: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, contents)
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** The ratios of this run; what it did not measure stays as it was stored. */
function baselineOf(results: Results, ratios: readonly Ratio[], stored: Baseline | undefined): Baseline {
  const { processor, cores, kernel, node } = results.machine
  const measured = ratios.map((r) => [r.name, Math.round(r.value * 1000) / 1000] as const)
  const all = { ...stored?.ratios, ...Object.fromEntries(measured) }
  return {
    format: 1,
    measuredAt: results.startedAt,
    machine: `${processor}, ${cores} cores, Linux ${kernel}, Node ${node}`,
    // In the order of the report; one that has another name by now is gone.
    ratios: Object.fromEntries(RATIOS.flatMap(({ name }) => (name in all ? [[name, all[name]!]] : []))),
  }
}

/** A run that says nothing of what it was for: one of ours has failed, or nothing could be measured at all. */
function failuresOf({ figures, absences }: Results): string[] {
  const ours = absences.filter((a) => a.failed === true && (kinds.get(a.subject) ?? 'ours') === 'ours')
  const failures = ours.map((a) => `${a.subject} failed in the section ${a.section}`)
  return failures.length === 0 && figures.length === 0 ? ['nothing was measured'] : failures
}

async function main(): Promise<void> {
  const options = readOptions(process.argv)
  // A baseline that cannot be read is better known before an hour of measuring.
  const baseline = options.check === undefined ? undefined : readJson(options.check, baselineSchema)
  const stored =
    options.saveBaseline !== undefined && existsSync(options.saveBaseline)
      ? readJson(options.saveBaseline, baselineSchema)
      : undefined
  const results =
    options.load === undefined
      ? await measure(options, (line) => console.error(line))
      : readJson(options.load, resultsSchema)
  const ratios = ratiosOf(results.figures)
  printResults(results, ratios, print)
  if (options.load === undefined) write(options.json, json(results))
  write(
    options.report,
    htmlReport(results, ratios, (subject) => kinds.get(subject) ?? 'ours'),
  )
  print(`\nfigures: ${options.load ?? options.json}\nreport: ${options.report}`)
  if (options.saveBaseline !== undefined)
    write(options.saveBaseline, json(baselineOf(results, ratios, stored)))
  const failures = options.load === undefined ? failuresOf(results) : []
  for (const why of failures) console.error(`bench: ${why}`)
  if (failures.length > 0) process.exitCode = 1
  if (!baseline) return
  const report = checkRatios(ratios, baseline)
  printCheck(report, print)
  if (report.failure !== undefined) process.exitCode = 1
}

main().catch((error: unknown) => {
  console.error(`bench: ${(error as Error).message}`)
  process.exitCode = 1
})
