import { readFileSync, statSync } from 'node:fs'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
} from 'yaml'
import { ConfigFileError, formatKeyPath, type KeyPath, PROBLEMS_MAX, type Problem } from './problems.js'

/** A configuration file of hundreds of peers has some 100 KiB. */
export const CONFIG_FILE_MAX = 4 * 1024 * 1024
/** Aliases multiply what they name; the sum is bounded. */
const ALIASES_MAX = 1000
const DEPTH_MAX = 32

/**
 * A parsed YAML file that knows where each of its values stands. Collects what is found wrong with it, so that one look
 * shows everything.
 */
export class YamlSource {
  readonly file: string
  /** The file as plain values. */
  readonly value: unknown
  private readonly document: Document.Parsed<ParsedNode>
  private readonly lines: LineCounter
  private readonly found: Problem[] = []

  private constructor(file: string, text: string) {
    this.file = file
    this.lines = new LineCounter()
    this.document = parseDocument(text, {
      lineCounter: this.lines,
      version: '1.2',
      schema: 'core',
      uniqueKeys: true,
      prettyErrors: false,
      merge: false,
    })
    for (const e of [...this.document.errors, ...this.document.warnings])
      this.add(e.pos[0], '', `not valid YAML: ${e.message}`)
    this.throwIfAny()
    this.checkStructure(this.document.contents, [], 0)
    this.throwIfAny()
    try {
      this.value = this.document.toJS({ maxAliasCount: ALIASES_MAX })
    } catch (error) {
      this.add(0, '', `not valid YAML: ${error instanceof Error ? error.message : String(error)}`)
      this.throwIfAny()
    }
  }

  /** @throws ConfigFileError when the text is no YAML, or uses what a configuration has no need of */
  static parse(file: string, text: string): YamlSource {
    return new YamlSource(file, text)
  }

  /** @throws ConfigFileError */
  static read(file: string): YamlSource {
    return new YamlSource(file, readText(file))
  }

  /** Notes a problem at a key (`at: 'key'`, for a key that should not be there) or at its value. */
  problem(path: KeyPath, message: string, at: 'key' | 'value' = 'value'): void {
    // Before the place is looked for, which takes as long as the file is.
    if (this.found.length >= PROBLEMS_MAX) return
    this.add(this.offsetOf(path, at), formatKeyPath(path), message)
  }

  /** True when the file has a value at the path; an explicit null counts as none. */
  has(path: KeyPath): boolean {
    let value: unknown = this.value
    for (const part of path) {
      if (value === null || typeof value !== 'object' || !Object.hasOwn(value, part)) return false
      value = (value as Record<string | number, unknown>)[part]
    }
    return value !== null && value !== undefined
  }

  get problems(): readonly Problem[] {
    return this.found
  }

  /** @throws ConfigFileError with everything noted so far, in the order of the file */
  throwIfAny(): void {
    if (this.found.length === 0) return
    this.found.sort((a, b) => a.line - b.line || a.column - b.column)
    throw new ConfigFileError(this.found)
  }

  private add(offset: number, key: string, message: string): void {
    if (this.found.length >= PROBLEMS_MAX) return
    const { line, col } = this.lines.linePos(offset)
    const text = message.replaceAll('\n', ' ')
    this.found.push({
      file: this.file,
      line: Math.max(1, line),
      column: Math.max(1, col),
      key,
      message: text,
    })
  }

  /** Offset of the value at the path, or of the nearest thing around it that exists. */
  private offsetOf(path: KeyPath, at: 'key' | 'value'): number {
    let node: Node | null | undefined = this.document.contents
    let offset = node?.range?.[0] ?? 0
    for (const [i, part] of path.entries()) {
      node = this.resolve(node)
      if (isMap(node)) {
        const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === String(part))
        if (!pair) return offset
        node = pair.value as Node | null
        // A value is shown where it stands; what is missing or wrong inside a value, at the key that it belongs to.
        const shown = at === 'value' && i === path.length - 1 && isScalar(node) && node.value !== null
        offset = (shown ? node : (pair.key as Node))?.range?.[0] ?? offset
      } else if (isSeq(node) && typeof part === 'number') {
        const item = node.items[part] as Node | undefined
        if (!item) return offset
        node = item
        offset = item.range?.[0] ?? offset
      } else return offset
    }
    return offset
  }

  private resolve(node: Node | null | undefined): Node | null | undefined {
    return isAlias(node) ? node.resolve(this.document) : node
  }

  /** Only mappings with text keys, lists and plain values: no tags, no `__proto__`, no bottomless nesting. */
  private checkStructure(node: unknown, path: KeyPath, depth: number): void {
    const start = (n: unknown): number => (n as Node | null)?.range?.[0] ?? 0
    if (depth > DEPTH_MAX) {
      this.add(start(node), formatKeyPath(path), `nested more than ${DEPTH_MAX} levels deep`)
      return
    }
    const tag = (node as Node | null)?.tag
    if (tag !== undefined) this.add(start(node), formatKeyPath(path), `tags are not used here; remove ${tag}`)
    if (isMap(node)) {
      for (const pair of node.items) {
        const key = isScalar(pair.key) ? pair.key.value : undefined
        if (typeof key !== 'string' && typeof key !== 'number')
          this.add(start(pair.key), formatKeyPath(path), 'a key must be plain text')
        else if (key === '__proto__')
          this.add(start(pair.key), formatKeyPath(path), 'no key may be called __proto__')
        else this.checkStructure(pair.value, [...path, String(key)], depth + 1)
      }
    } else if (isSeq(node))
      for (const [i, item] of node.items.entries()) this.checkStructure(item, [...path, i], depth + 1)
  }
}

function readText(file: string): string {
  const refuse = (message: string): never => {
    throw new ConfigFileError([{ file, line: 1, column: 1, key: '', message }])
  }
  try {
    const info = statSync(file)
    if (!info.isFile()) refuse('not a regular file; give the path of a YAML configuration file')
    if (info.size > CONFIG_FILE_MAX) refuse(`larger than ${CONFIG_FILE_MAX} octets`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    if (error instanceof ConfigFileError) throw error
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return refuse('no such file; give the configuration with -c FILE')
    if (code === 'EACCES') return refuse('cannot be read; check its permissions')
    if (error instanceof TypeError) return refuse('not UTF-8 text')
    return refuse(`cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
