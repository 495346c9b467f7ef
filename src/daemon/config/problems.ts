import { ConfigError } from '../../errors.js'

/** A place in the configuration: keys and list indexes from the root. */
export type KeyPath = readonly (string | number)[]

/** One thing that is wrong in the configuration, and where. Line and column count from 1. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** "peers.dom0-b.children.migration.local[0]"; empty where no key is concerned. */
  readonly key: string
  readonly message: string
}

/** Problems kept at most: a file that is wrong everywhere should not fill the screen. */
export const PROBLEMS_MAX = 50

/** All problems of a configuration file at once. The message has one line a problem. */
export class ConfigFileError extends ConfigError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.problems = problems
  }
}

export function formatProblem(p: Problem): string {
  return `${p.file}:${p.line}:${p.column}: ${p.key === '' ? '' : `${p.key}: `}${p.message}`
}

/** Spells a path as it is shown in errors: "peers.dom0-b.local". Keys with other characters are quoted. */
export function formatKeyPath(path: KeyPath): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else {
      const key = /^[A-Za-z0-9_.-]{1,64}$/.test(part) ? part : JSON.stringify(shorten(part))
      text += text === '' ? key : `.${key}`
    }
  }
  return text
}

/** Text from the file as it may be shown: printable, at most 40 characters. */
export function shorten(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, '?')
  return clean.length > 40 ? `${clean.slice(0, 37)}...` : clean
}

/** How a value that was not expected is shown. Only what it is, where it is no plain value. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'string') return JSON.stringify(shorten(value))
  return shorten(String(value))
}
