import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { SECTIONS } from './figures.js'

// What a run leaves behind, as JSON, so that reports and checks can be made again without measuring.

const section = z.enum(SECTIONS)
const number = z.number()

export const resultsSchema = z.strictObject({
  format: z.literal(1),
  startedAt: z.iso.datetime(),
  machine: z.strictObject({
    processor: z.string(),
    cores: z.int(),
    memoryMiB: z.int(),
    kernel: z.string(),
    node: z.string(),
  }),
  options: z.record(z.string(), z.unknown()),
  figures: z.array(
    z.strictObject({
      section,
      subject: z.string(),
      metric: z.string(),
      mtu: z.int().optional(),
      unit: z.string(),
      better: z.enum(['higher', 'lower']),
      values: z.array(number).min(1),
    }),
  ),
  series: z.array(
    z.strictObject({
      section,
      subject: z.string(),
      metric: z.string(),
      unit: z.string(),
      points: z.array(z.tuple([number, number])),
    }),
  ),
  absences: z.array(
    z.strictObject({ subject: z.string(), section, why: z.string(), failed: z.boolean().optional() }),
  ),
})
export type Results = z.infer<typeof resultsSchema>

export const baselineSchema = z.strictObject({
  format: z.literal(1),
  measuredAt: z.iso.datetime(),
  machine: z.string(),
  /** Medians over medians, by the names of bench/ratios.ts. */
  ratios: z.record(z.string(), z.number().positive()),
})
export type Baseline = z.infer<typeof baselineSchema>

/** @throws Error that names the file and what is wrong with it */
export function readJson<T>(file: string, schema: z.ZodType<T>): T {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`)
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}
