import Table from 'cli-table3'
import { type Figure, median, SECTIONS, type Section } from '../figures.js'
import { type CheckReport, type Ratio, TOLERANCE } from '../ratios.js'
import type { Results } from '../results.js'

export const SECTION_TITLES: Readonly<Record<Section, string>> = {
  engines: 'Engines alone',
  pipeline: 'Data path without I/O, AES-128-GCM, packets of 1400 octets',
  rig: 'Whole gateways: TCP',
  pps: 'Whole gateways: UDP packets a second',
  latency: 'Whole gateways: request and response',
  migration: 'Live migration',
  rekey: 'A rekey every second under full load',
  ike: 'Handshakes, two daemons of one kind',
  soak: 'Long run at full load',
}

function printTable(title: string, columns: readonly Group[], print: (text: string) => void): void {
  const subjects = [...new Set(columns.flatMap((c) => c.figures.map((f) => f.subject)))]
  const shared = title.replace(/, MTU \d+$/, '').length
  const heads = columns.map(({ metric, unit }) => {
    const own = title.startsWith(metric.slice(0, shared))
      ? metric.slice(shared).replace(/^[:,] /, '')
      : metric
    return own === '' ? unit : `${own}\n${unit}`
  })
  const table = compactTable([title, ...heads], 1)
  for (const subject of subjects) {
    const cells = columns.map((c) => {
      const figure = c.figures.find((f) => f.subject === subject)
      return figure ? formatValue(median(figure.values)) : '-'
    })
    table.push([subject, ...cells])
  }
  print(table.toString())
}

/** Without lines between rows; colours are left to terminals. @param textColumns so many columns are text, the others numbers */
function compactTable(head: readonly string[], textColumns: number): InstanceType<typeof Table> {
  return new Table({
    head: [...head],
    colAligns: head.map((_, i) => (i < textColumns ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  })
}

/** Four significant digits, without exponent. */
export const formatValue = (value: number): string =>
  Math.abs(value) >= 1000 ? value.toFixed(0) : value === 0 ? '0' : String(Number(value.toPrecision(4)))

/** Figures that belong in one table or plot: one metric of one section, each subject once. */
export interface Group {
  readonly section: Section
  readonly metric: string
  readonly mtu: number | undefined
  readonly unit: string
  readonly figures: readonly Figure[]
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}

export function groupsOf(figures: readonly Figure[], section: Section): Group[] {
  const groups = groupBy(
    figures.filter((f) => f.section === section),
    (f) => `${f.mtu ?? ''} ${f.metric}`,
  )
  return [...groups.values()].map((group) => {
    const { metric, mtu, unit } = group[0]!
    return { section, metric, mtu, unit, figures: group }
  })
}

/** Groups that share a table: of packet counts and engines those with one unit, else what stands before the first `:` or `,`. */
function tableKey({ section, metric, mtu, unit }: Group): string {
  const by = section === 'engines' || section === 'pps' ? unit : metric.split(/[:,]/)[0]!
  return mtu === undefined ? by : `${by}, MTU ${mtu}`
}

/** Everything as text: tables of medians, a subject a row, then the ratios, and who was absent. */
export function printResults(
  results: Results,
  ratios: readonly Ratio[],
  print: (text: string) => void,
): void {
  const figures = results.figures as readonly Figure[]
  for (const section of SECTIONS) {
    const groups = groupsOf(figures, section)
    if (groups.length > 0) print(`\n${SECTION_TITLES[section]}`)
    for (const [title, columns] of groupBy(groups, tableKey)) printTable(title, columns, print)
  }
  if (ratios.length > 0) {
    const table = compactTable(['ratio of medians, above 1 is for us', 'value', 'goal'], 1)
    for (const r of ratios)
      table.push([r.name, r.value.toFixed(2), r.goal === undefined ? '' : r.goal.toFixed(2)])
    print('\nRatios')
    print(table.toString())
  }
  for (const a of results.absences) print(`left out: ${a.subject}, ${a.section}: ${a.why.split('\n')[0]}`)
}

export function printCheck(report: CheckReport, print: (text: string) => void): void {
  const table = compactTable(['ratio', 'stored', 'now', 'change', 'verdict'], 1)
  for (const { name, stored, now, verdict } of report.rows)
    table.push([
      name,
      stored.toFixed(2),
      now?.toFixed(2) ?? '-',
      now === undefined ? '-' : `${((now / stored - 1) * 100).toFixed(0)} %`,
      verdict,
    ])
  print(`\nCheck against the baseline, ${TOLERANCE * 100} % allowed`)
  print(table.toString())
  print(report.failure === undefined ? 'check passed' : `check failed: ${report.failure}`)
}
