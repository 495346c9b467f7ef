import type { Random } from '../random.js'

// Mutations of text: configuration files, proposals, records.

const TOKENS = [
  '',
  ' ',
  '\n',
  '\t',
  '\r',
  '\0',
  ':',
  '-',
  ',',
  '/',
  '#',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '&a ',
  '*a',
  '!!js ',
  '|',
  '>',
  '~',
  'null',
  'true',
  '0',
  '-1',
  '1e999',
  '0x7fffffff',
  '4294967296',
  '99999999999999999999',
  '.inf',
  '.nan',
  '__proto__',
  'constructor',
  'toString',
  '%',
  '\u2028',
  '\ud800',
  '\ufeff',
  'é',
  '𝄞',
  '0.0.0.0/0',
  '::/0',
  '255.255.255.255',
  '::ffff:1.2.3.4',
  '<<: *a',
  '1h',
  '1d1d',
  '65536',
  'aes128gcm16',
  'esn-noesn',
  '- - - -',
]
const TEXT_MAX = 16_384

/** @param others what to splice with; may be empty */
export function mutateText(random: Random, text: string, others: readonly string[] = []): string {
  let t = text
  for (let n = 1 + random.below(4); n > 0; n--) t = mutateOnce(random, t, others)
  return t.slice(0, TEXT_MAX)
}

function mutateOnce(random: Random, t: string, others: readonly string[]): string {
  const at = random.below(t.length + 1)
  const to = Math.min(t.length, at + random.length(40))
  const part = t.slice(at, to)
  switch (random.below(10)) {
    case 0:
      return t.slice(0, at) + String.fromCharCode(random.below(128)) + t.slice(at + 1)
    case 1:
      return t.slice(0, at) + t.slice(to)
    case 2:
      return t.slice(0, at) + random.pick(TOKENS) + t.slice(at)
    case 3:
      return t.slice(0, at) + random.pick(TOKENS) + t.slice(to)
    case 4:
      return t.slice(0, to) + part.repeat(1 + random.below(20)) + t.slice(to)
    case 5:
      return t.slice(0, at)
    case 6:
      return lines(random, t)
    case 7:
      return t.replace(wordAt(t, at), random.pick(TOKENS))
    case 8: {
      if (others.length === 0) return t
      const other = random.pick(others)
      return t.slice(0, at) + other.slice(random.below(other.length))
    }
    default:
      return words(random, t, others)
  }
}

/** One line goes, comes twice, moves, or is set further in or out. */
function lines(random: Random, t: string): string {
  const list = t.split('\n')
  const at = random.below(list.length)
  const line = list[at]!
  switch (random.below(4)) {
    case 0:
      list.splice(at, 1)
      break
    case 1:
      list.splice(at, 0, line)
      break
    case 2:
      list.splice(at, 1)
      list.splice(random.below(list.length + 1), 0, line)
      break
    default:
      list[at] = random.oneIn(2) ? `  ${line}` : line.replace(/^ {2}/, '')
  }
  return list.join('\n')
}

/** A word takes the place of another one, from this text or one of the others. */
function words(random: Random, t: string, others: readonly string[]): string {
  const source = others.length > 0 && random.oneIn(2) ? random.pick(others) : t
  const from = wordAt(source, random.below(source.length))
  return t.replace(wordAt(t, random.below(t.length)), () => from)
}

function wordAt(t: string, at: number): string {
  let from = at
  while (from > 0 && /[\w.:/-]/.test(t[from - 1]!)) from--
  let to = at
  while (to < t.length && /[\w.:/-]/.test(t[to]!)) to++
  return t.slice(from, to)
}
