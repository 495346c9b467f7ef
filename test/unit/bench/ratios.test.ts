import { describe, expect, test } from 'vitest'
import { CONTENDERS } from '../../../bench/contenders/contenders.js'
import { type Figure, type FigureId, median, quantile } from '../../../bench/figures.js'
import { IKE_SUBJECTS } from '../../../bench/ike/subjects.js'
import { DIRTY_RATES, MIGRATORS } from '../../../bench/migration/migration.js'
import { checkRatios, RATIOS, ratiosOf } from '../../../bench/ratios.js'
import type { Baseline } from '../../../bench/results.js'

const figure = (id: FigureId, better: Figure['better'], ...values: number[]): Figure => ({
  ...id,
  unit: 'x',
  better,
  values,
})
const baseline = (ratios: Record<string, number>): Baseline => ({
  format: 1,
  measuredAt: '2026-01-01T00:00:00.000Z',
  machine: 'a machine',
  ratios,
})
const [first, second] = RATIOS as readonly [(typeof RATIOS)[number], (typeof RATIOS)[number]]

describe('medians and quantiles', () => {
  test.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])('median of %j is %d', (values, expected) => expect(median(values)).toBe(expected))
  test('of nothing is no number', () => expect(median([])).toBeNaN())
  test('quantiles lie between their neighbours', () => {
    const sorted = Float64Array.from({ length: 101 }, (_, i) => i * 10)
    expect([0, 0.5, 0.99, 0.995, 1].map((p) => quantile(sorted, p))).toEqual([0, 500, 990, 995, 1000])
  })
})

describe('ratios', () => {
  test('are of medians, and above 1 is for us whatever is better', () => {
    const values = ratiosOf([
      figure(first.ours, 'higher', 1, 6, 100),
      figure(first.theirs, 'higher', 2, 3, 4),
    ])
    expect(values).toMatchObject([{ name: first.name, value: 2 }])
    const times = ratiosOf([figure(first.ours, 'lower', 2), figure(first.theirs, 'lower', 6)])
    expect(times).toMatchObject([{ value: 3 }])
  })

  test('need both sides, of the same MTU', () => {
    expect(ratiosOf([figure(first.ours, 'higher', 1)])).toEqual([])
    const theirs = figure({ ...first.theirs, mtu: 576 }, 'higher', 1)
    expect(ratiosOf([figure(first.ours, 'higher', 1), theirs])).toEqual([])
  })

  test('have names of their own, and are about subjects that exist', () => {
    expect(new Set(RATIOS.map((r) => r.name)).size).toBe(RATIOS.length)
    const whole = new Set(CONTENDERS.map((c) => c.name))
    const migrators = new Set(MIGRATORS.map((c) => c.name))
    for (const { ours, theirs } of RATIOS)
      for (const { section, subject, metric } of [ours, theirs]) {
        if (section === 'migration') {
          expect(migrators).toContain(subject)
          expect(Object.keys(DIRTY_RATES)).toContain(metric.split(':')[0])
        } else if (section === 'ike') expect(IKE_SUBJECTS.map((s) => s.name)).toContain(subject)
        else if (section !== 'engines') expect(whole).toContain(subject)
      }
  })
})

describe('the check', () => {
  const measured = (value: number, spec = first) => [{ ...spec, value }]

  test.each([
    [2, 'ok'],
    [1.71, 'ok'],
    [5, 'ok'],
    [1.69, 'dropped'],
  ])('a stored 2 and %d now: %s', (now, verdict) => {
    const { rows, failure } = checkRatios(measured(now), baseline({ [first.name]: 2 }))
    expect(rows).toEqual([{ name: first.name, stored: 2, now, verdict }])
    expect(failure === undefined).toBe(verdict === 'ok')
  })

  test('what was not measured is told and fails nothing, unless that was all', () => {
    const stored = baseline({ [first.name]: 2, [second.name]: 3 })
    const partly = checkRatios(measured(2), stored)
    expect(partly.failure).toBeUndefined()
    expect(partly.rows[1]).toMatchObject({ name: second.name, verdict: 'not measured' })
    expect(checkRatios([], stored).failure).toMatch(/no stored ratio was measured/)
  })
})
