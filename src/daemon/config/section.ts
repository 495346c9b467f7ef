import type { z } from 'zod'
import type { KeyPath } from './problems.js'
import type { YamlSource } from './yaml-source.js'

/**
 * Reads one section of the file by its schema. Every fault is noted at its place in the file; undefined when there was
 * one.
 */
export function readSection<T extends z.ZodType>(
  source: YamlSource,
  schema: T,
  value: unknown,
  path: KeyPath,
): z.output<T> | undefined {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  for (const issue of result.error.issues) {
    const at = [...path, ...issue.path.map((part) => (typeof part === 'symbol' ? part.toString() : part))]
    if (issue.code === 'unrecognized_keys') {
      const messages = issue.message.split('\n')
      for (const [i, key] of issue.keys.entries())
        source.problem([...at, key], messages[i] ?? 'unknown key', 'key')
    } else source.problem(at, issue.message)
  }
  return undefined
}
