import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RATIOS } from '../../../bench/ratios.js'
import { htmlReport } from '../../../bench/report/html.js'
import { barPlot, linePlot, ticksTo } from '../../../bench/report/plot.js'
import { printResults, SECTION_TITLES } from '../../../bench/report/tables.js'
import { type Results, resultsSchema } from '../../../bench/results.js'

const RESULTS: Results = {
  format: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  machine: { processor: 'CPU <1>', cores: 2, memoryMiB: 1000, kernel: '6.1', node: 'v20.0.0' },
  options: { only: ['rig'] },
  figures: [
    {
      section: 'rig',
      subject: 'us',
      metric: 'one TCP stream',
      mtu: 1500,
      unit: 'Gbit/s',
      better: 'higher',
      values: [4, 6, 5],
    },
    {
      section: 'rig',
      subject: 'them & co',
      metric: 'one TCP stream',
      mtu: 1500,
      unit: 'Gbit/s',
      better: 'higher',
      values: [2],
    },
    {
      section: 'rig',
      subject: 'us',
      metric: 'one TCP stream: RSS',
      mtu: 1500,
      unit: 'MiB',
      better: 'lower',
      values: [110],
    },
    {
      section: 'rig',
      subject: 'us',
      metric: 'one TCP stream',
      mtu: 9000,
      unit: 'Gbit/s',
      better: 'higher',
      values: [7],
    },
    {
      section: 'engines',
      subject: 'noble',
      metric: '64 octets',
      unit: 'Gbit/s',
      better: 'higher',
      values: [0.1],
    },
  ],
  series: [
    {
      section: 'rig',
      subject: 'us',
      metric: 'RSS',
      unit: 'MiB',
      points: [
        [0, 100],
        [1, 110],
      ],
    },
  ],
  absences: [{ subject: 'nobody', section: 'rig', why: 'not <installed>\nat all' }],
}
const ratio = { ...RATIOS[0]!, value: 1.5 }

test('ticks begin at 0, reach the largest value and are few', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), (max) => {
      const ticks = ticksTo(max)
      expect(ticks[0]).toBe(0)
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(max * (1 - 1e-8))
      expect(ticks.length).toBeLessThanOrEqual(6)
      expect(ticks).toEqual([...ticks].sort((a, b) => a - b))
    }),
  )
  expect(ticksTo(0)).toEqual([0, 1])
})

describe('plots', () => {
  const widths = (svg: string): number[] =>
    [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map((m) => Number(m[1]))

  test('bars are as long as their medians, and whiskers mark the rounds', () => {
    const svg = barPlot(
      [
        { label: 'a', kind: 'ours', median: 8, min: 6, max: 10 },
        { label: 'b', kind: 'peer', median: 2, min: 2, max: 2 },
      ],
      'Gbit/s',
    )
    const [a, b] = widths(svg) as [number, number]
    expect(a / b).toBeCloseTo(4, 1)
    expect(svg.match(/class="whisker"/g)).toHaveLength(3)
    expect(svg).toContain('class="peer"')
  })

  test('labels cannot break out', () => {
    expect(barPlot([{ label: '<b>&"', kind: 'ours', median: 1, min: 1, max: 1 }], 'x')).toContain(
      '&lt;b&gt;&amp;&quot;',
    )
  })

  test('figures of 0 have a plot', () => {
    const svg = barPlot([{ label: 'none', kind: 'ours', median: 0, min: 0, max: 0 }], '%')
    expect(widths(svg)).toEqual([0])
    expect(svg).not.toMatch(/NaN|Infinity/)
  })

  test('a line goes through its points in order', () => {
    const points = /points="([^"]+)"/.exec(
      linePlot(
        [
          [0, 1],
          [5, 3],
          [10, 2],
        ],
        'MiB',
      ),
    )![1]!
    const [[x0, y0], [x1, y1], [x2, y2]] = points.split(' ').map((p) => p.split(',').map(Number)) as [
      [number, number],
      [number, number],
      [number, number],
    ]
    expect(x1 - x0).toBeCloseTo(x2 - x1, 0)
    expect(y1).toBeLessThan(y2)
    expect(y2).toBeLessThan(y0)
  })
})

describe('the report', () => {
  const html = htmlReport(RESULTS, [ratio], (subject) => (subject === 'us' ? 'ours' : 'peer'))

  test('has every section that was measured, its plots, its curve and who was absent', () => {
    expect(html).toContain(`<h2>${SECTION_TITLES.rig}</h2>`)
    expect(html).toContain(`<h2>${SECTION_TITLES.engines}</h2>`)
    expect(html).not.toContain(SECTION_TITLES.soak)
    expect(html.match(/<svg /g)).toHaveLength(5)
    expect(html).toContain('them &amp; co')
    expect(html).toContain('nobody, rig: not &lt;installed&gt;')
    expect(html).toContain('CPU &lt;1&gt;')
  })

  test('asks the network for nothing', () => {
    expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(
      /https?:|<script|<link|url\(|@import/,
    )
  })

  test('tells goals that are met from ones that are not', () => {
    expect(html).toContain('class="n bad">1.50')
    expect(htmlReport(RESULTS, [{ ...ratio, value: 9 }], () => 'ours')).toContain('class="n good">9.00')
  })
})

test('tables have a row for each subject and say nothing twice', () => {
  const lines: string[] = []
  printResults(resultsSchema.parse(RESULTS), [ratio], (text) => lines.push(...text.split('\n')))
  const rowsOf = (text: string): string[] => lines.filter((line) => line.includes(text))
  expect(rowsOf('them & co')).toHaveLength(1)
  expect(rowsOf('them & co')[0]).toMatch(/│ them & co +│ +2 │ +- │/)
  expect(rowsOf('│ us')).toHaveLength(2)
  expect(rowsOf('│ us')[0]).toMatch(/│ +5 │ +110 │/)
  expect(rowsOf('left out: nobody, rig: not <installed>')).toHaveLength(1)
})
