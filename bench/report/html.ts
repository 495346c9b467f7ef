import { type Figure, median, SECTIONS, type Section } from '../figures.js'
import type { Ratio } from '../ratios.js'
import type { Results } from '../results.js'
import { type Bar, barPlot, escapeXml as e, linePlot } from './plot.js'
import { formatValue, type Group, groupsOf, SECTION_TITLES } from './tables.js'

// One file that needs nothing else: styles and plots are in it, and it asks the network for nothing.

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2126; --dim: #5c6670; --page: #fff; --line: #dde2e6; --ours: #1769aa; --peer: #9aa5ae; --bound: #c9b458; --good: #1b7f4b; --bad: #b3341f }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --dim: #9aa5ae; --page: #15191d; --line: #2f373e; --ours: #58a6e0; --peer: #6c7780; --bound: #a8913a; --good: #5cc48d; --bad: #f0826d } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 800px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) } h3 { font-size: 1rem; margin: 1.5rem 0 .3rem }
p.about, figcaption, .key { color: var(--dim); font-size: .85rem } figure { margin: 0 }
svg { width: 100%; height: auto; display: block } svg text { font: 12px system-ui, sans-serif; fill: var(--ink) }
svg .tick { fill: var(--dim); font-size: 11px } .grid { stroke: var(--line) } .whisker { stroke: var(--ink); stroke-width: 1.3 }
rect.ours { fill: var(--ours) } rect.peer { fill: var(--peer) } rect.bound { fill: var(--bound) } .curve { fill: none; stroke: var(--ours); stroke-width: 1.6 }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; border-radius: 2px }
table { border-collapse: collapse; width: 100%; font-size: .85rem } th, td { text-align: left; padding: .2rem .5rem; border-bottom: 1px solid var(--line) } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.good { color: var(--good) } .bad { color: var(--bad) } summary { color: var(--dim); cursor: pointer; margin: .5rem 0 }
`

/** @param kindOf what a subject is drawn as */
export function htmlReport(
  results: Results,
  ratios: readonly Ratio[],
  kindOf: (subject: string) => Bar['kind'],
): string {
  const { machine, startedAt } = results
  const about = `${machine.processor}, ${machine.cores} cores, ${machine.memoryMiB} MiB, Linux ${machine.kernel}, Node ${machine.node}; ${startedAt}`
  const figures = results.figures as readonly Figure[]
  const sections = SECTIONS.map((section) => sectionHtml(section, figures, results, kindOf)).join('')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>sallyport benchmark</title><style>${STYLE}</style></head><body>
<h1>sallyport benchmark</h1>
<p class="about">${e(about)}</p>
<p>Both hosts are network namespaces of one machine and share its processors, with every gateway and every program that
makes load. Compare the rows of one run, not of different machines. Bars are medians, whiskers the lowest and the highest
round.</p>
<p class="key">${['ours', 'peer', 'bound'].map((kind) => `<span style="background: var(--${kind})"></span>${KEY[kind]}`).join('')}</p>
${ratiosHtml(ratios)}${sections}${absencesHtml(results)}
<details><summary>options of this run</summary><pre>${e(JSON.stringify(results.options, null, 2))}</pre></details>
</body></html>
`
}

const KEY: Readonly<Record<string, string>> = { ours: 'sallyport', peer: 'others', bound: 'bounds' }

function ratiosHtml(ratios: readonly Ratio[]): string {
  if (ratios.length === 0) return ''
  const rows = ratios.map(({ name, value, goal }) => {
    const type = goal === undefined ? 'n' : `n ${value >= goal ? 'good' : 'bad'}`
    return `<tr><td>${e(name)}</td><td class="${type}">${value.toFixed(2)}</td><td class="n">${goal?.toFixed(2) ?? ''}</td></tr>`
  })
  return `<h2>Ratios</h2><p class="about">Of medians; above 1 is for the first.</p>
<table><tr><th>ratio</th><th class="n">value</th><th class="n">goal</th></tr>${rows.join('')}</table>`
}

function sectionHtml(
  section: Section,
  figures: readonly Figure[],
  results: Results,
  kindOf: (subject: string) => Bar['kind'],
): string {
  const groups = groupsOf(figures, section)
  if (groups.length === 0) return ''
  const plots = groups.filter(isPlotted).map((group) => {
    const bars = group.figures.map((f) => ({
      label: f.subject,
      kind: kindOf(f.subject),
      median: median(f.values),
      min: Math.min(...f.values),
      max: Math.max(...f.values),
    }))
    const better = group.figures[0]!.better === 'higher' ? 'more is better' : 'less is better'
    return `<h3>${e(groupTitle(group))}</h3><figure>${barPlot(bars, group.unit)}<figcaption>${better}</figcaption></figure>`
  })
  const curves = results.series
    .filter((s) => s.section === section && s.points.length > 1)
    .map((s) => `<h3>${e(`${s.subject}: ${s.metric}`)}</h3><figure>${linePlot(s.points, s.unit)}</figure>`)
  return `<h2>${e(SECTION_TITLES[section])}</h2>${plots.join('')}${curves.join('')}${tableHtml(groups)}`
}

/** An engine's time says the same as its rate. */
const isPlotted = (g: Group): boolean => !(g.section === 'engines' && g.unit !== 'Gbit/s')

const groupTitle = (g: Group): string => `${g.metric}${g.mtu === undefined ? '' : `, MTU ${g.mtu}`}`

function tableHtml(groups: readonly Group[]): string {
  const rows = groups.flatMap((group) =>
    group.figures.map(
      (f) =>
        `<tr><td>${e(groupTitle(group))}</td><td>${e(f.subject)}</td><td class="n">${formatValue(median(f.values))}</td>` +
        `<td class="n">${formatValue(Math.min(...f.values))}</td><td class="n">${formatValue(Math.max(...f.values))}</td>` +
        `<td class="n">${f.values.length}</td><td>${e(f.unit)}</td></tr>`,
    ),
  )
  return `<details><summary>all figures of this section</summary><table><tr><th>figure</th><th>subject</th><th class="n">median</th><th class="n">lowest</th><th class="n">highest</th><th class="n">rounds</th><th>unit</th></tr>${rows.join('')}</table></details>`
}

function absencesHtml(results: Results): string {
  if (results.absences.length === 0) return ''
  const items = results.absences.map(
    (a) => `<li>${e(`${a.subject}, ${a.section}: ${a.why.split('\n')[0]}`)}</li>`,
  )
  return `<h2>Left out</h2><ul>${items.join('')}</ul>`
}
