import { formatValue } from './tables.js'

// Plots as SVG text. Colours are CSS classes of the page, so that they follow its light or dark scheme.

export interface Bar {
  readonly label: string
  readonly kind: 'ours' | 'peer' | 'bound'
  readonly median: number
  readonly min: number
  readonly max: number
}

const WIDTH = 760
const LABELS = 230
const VALUES = 90
const ROW = 24
const TOP = 6
const AXIS = 22

export const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!)

/** Steps of 1, 2 or 5 times a power of ten that reach from 0 to at least `max` in at most six of them. */
export function ticksTo(max: number): number[] {
  if (!(max > 0)) return [0, 1]
  const rough = max / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough)!
  const count = Math.ceil(max / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)))
}

/** Horizontal bars: the median is the bar, lowest and highest round the whisker. */
export function barPlot(bars: readonly Bar[], unit: string): string {
  const ticks = ticksTo(Math.max(...bars.map((b) => b.max)))
  const room = WIDTH - LABELS - VALUES
  const x = (value: number): number => LABELS + (Math.max(0, value) / ticks.at(-1)!) * room
  const bottom = TOP + bars.length * ROW
  const rows = bars.map((bar, i) => {
    const y = TOP + i * ROW
    const middle = y + ROW / 2
    const whisker =
      bar.max > bar.min
        ? line('whisker', x(bar.min), middle, x(bar.max), middle) +
          line('whisker', x(bar.min), middle - 4, x(bar.min), middle + 4) +
          line('whisker', x(bar.max), middle - 4, x(bar.max), middle + 4)
        : ''
    const title = `<title>${escapeXml(`${bar.label}: ${formatValue(bar.median)} ${unit}`)}</title>`
    return (
      `<g>${title}${text('label', LABELS - 8, middle + 4, bar.label, 'end')}` +
      `<rect class="${bar.kind}" x="${LABELS}" y="${y + 4}" width="${n(x(bar.median) - LABELS)}" height="${ROW - 8}" rx="2"/>` +
      `${whisker}${text('value', x(Math.max(bar.max, bar.median)) + 6, middle + 4, formatValue(bar.median), 'start')}</g>`
    )
  })
  const grid = ticks.map(
    (tick) =>
      line('grid', x(tick), TOP, x(tick), bottom) +
      text('tick', x(tick), bottom + 15, formatValue(tick), 'middle'),
  )
  const height = bottom + AXIS
  return svg(height, grid.join('') + rows.join('') + text('tick', WIDTH, bottom + 15, unit, 'end'))
}

/** A line over time, from second 0 on. */
export function linePlot(points: readonly (readonly [number, number])[], unit: string): string {
  const height = 220
  const [left, right, bottom] = [60, WIDTH - 70, height - AXIS]
  const ticks = ticksTo(Math.max(...points.map(([, v]) => v)))
  const times = ticksTo(Math.max(...points.map(([t]) => t)))
  const x = (t: number): number => left + (t / times.at(-1)!) * (right - left)
  const y = (v: number): number => bottom - (v / ticks.at(-1)!) * (bottom - TOP)
  const grid = ticks.map(
    (tick) =>
      line('grid', left, y(tick), right, y(tick)) +
      text('tick', left - 6, y(tick) + 4, formatValue(tick), 'end'),
  )
  const axis = times.map((t) => text('tick', x(t), bottom + 15, formatValue(t), 'middle'))
  const path = points.map(([t, v]) => `${n(x(t))},${n(y(v))}`).join(' ')
  const units =
    text('tick', left + 4, TOP + 10, unit, 'start') + text('tick', WIDTH, bottom + 15, 'seconds', 'end')
  return svg(height, `${grid.join('')}${axis.join('')}<polyline class="curve" points="${path}"/>${units}`)
}

const n = (value: number): string => String(Math.round(value * 10) / 10)

const svg = (height: number, body: string): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" xmlns="http://www.w3.org/2000/svg">${body}</svg>`

const line = (type: string, x1: number, y1: number, x2: number, y2: number): string =>
  `<line class="${type}" x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}"/>`

const text = (type: string, x: number, y: number, content: string, anchor: string): string =>
  `<text class="${type}" x="${n(x)}" y="${n(y)}" text-anchor="${anchor}">${escapeXml(content)}</text>`
