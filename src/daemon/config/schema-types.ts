import { z } from 'zod'
import { nearest } from './nearest.js'
import { describeValue, shorten } from './problems.js'

// Building blocks of the schema. Every one says in its error what was expected and what was found.

const wrong = (expected: string, value: unknown): string =>
  value === undefined
    ? `is missing; expected ${expected}`
    : `expected ${expected}, found ${describeValue(value)}`

/** A mapping with exactly these keys. The message of an `unrecognized_keys` issue has one line a key. */
export function mapping<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownKey(key, known)).join('\n')
        : wrong(`a mapping with the keys ${known.join(', ')}`, issue.input),
  })
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  const hint = near === undefined ? `expected one of ${known.join(', ')}` : `did you mean ${near}?`
  return `unknown key ${JSON.stringify(shorten(key))}; ${hint}`
}

/** Text that `parse` takes; undefined from it refuses the value. */
export function text<T>(expected: string, parse: (value: string) => T | undefined) {
  return z.unknown().transform((value, context): T => {
    const parsed = typeof value === 'string' ? parse(value) : undefined
    if (parsed !== undefined) return parsed
    context.issues.push({ code: 'custom', message: wrong(expected, value), input: value })
    return z.NEVER
  })
}

/** As `text`, for what must not be echoed in an error. */
export function privateText<T>(expected: string, parse: (value: string) => T | undefined) {
  return z.unknown().transform((value, context): T => {
    const parsed = typeof value === 'string' ? parse(value) : undefined
    if (parsed !== undefined) return parsed
    const message = value === undefined ? `is missing; expected ${expected}` : `expected ${expected}`
    context.issues.push({ code: 'custom', message, input: value })
    return z.NEVER
  })
}

/** A whole number in [min, max]; hexadecimal by YAML's 0x. */
export function integer(min: number, max: number, expected = `a whole number from ${min} to ${max}`) {
  return z.unknown().transform((value, context): number => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    context.issues.push({ code: 'custom', message: wrong(expected, value), input: value })
    return z.NEVER
  })
}

export function flag() {
  return z.boolean({ error: (issue) => wrong('true or false', issue.input) })
}

/** One of a few words. */
export function oneOf<const W extends readonly [string, ...string[]]>(...words: W) {
  return z.enum(words, { error: (issue) => wrong(words.join(' | '), issue.input) })
}

/** A list with bounds. */
export function list<T extends z.ZodType>(item: T, min: number, max: number, what: string) {
  const expected = `a list of ${min === max ? min : `${min} to ${max}`} ${what}`
  return z
    .array(item, { error: (issue) => wrong(expected, issue.input) })
    .min(min, { error: `expected ${expected}` })
    .max(max, { error: `expected ${expected}` })
}

/** A mapping from names to anything: its entries are read one by one, so that one wrong entry hides no other. */
export function named(what: string) {
  return z.record(z.string(), z.unknown(), { error: (issue) => wrong(`a mapping of ${what}`, issue.input) })
}
