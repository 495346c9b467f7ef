import { utf8 } from '../bytes/octets.js'

// Why we refuse, in words for the peer's operator: behind the notify that says so, which tells next to nothing. The first line
// is the reason as the peer sees it, every further line something that we have in the place of what the peer has. Only a
// sallyport reads it; it decides nothing.

export interface Explanation {
  readonly reason: string
  /** What the other end has: its proposals. */
  readonly theirs: readonly string[]
}

/** What tells an explanation from anything else. */
const MARK = 'sallyport: '
/** Octets of an explanation. A message in the clear shall not be larger than the one that it answers, see `room`. */
export const EXPLANATION_MAX = 480
/** Less cannot be understood. */
const USEFUL = 40

/**
 * @param reason as we see it
 * @param have lines about what we have; those for which there is no room are left out
 * @param room octets that it may take
 * @returns empty when there is not enough room
 */
export function emitExplanation(
  reason: string,
  have: readonly string[] = [],
  room = EXPLANATION_MAX,
): Uint8Array {
  const max = Math.min(room, EXPLANATION_MAX)
  if (max < USEFUL) return new Uint8Array(0)
  let text = `${MARK}${mirrored(reason)}`.slice(0, max)
  for (const line of have) {
    if (text.length + 1 + line.length > max) break
    text += `\n${line}`
  }
  return utf8(printable(text)).subarray(0, max)
}

/** @param data of a notify; nobody has to have proved to be its sender @returns undefined when it is none of ours */
export function readExplanation(data: Uint8Array): Explanation | undefined {
  if (data.length > EXPLANATION_MAX) return undefined
  const text = String.fromCharCode(...data)
  if (!text.startsWith(MARK)) return undefined
  const [reason, ...theirs] = printable(text.slice(MARK.length)).split('\n')
  return { reason: reason!, theirs }
}

/** One character an octet, and nothing that a terminal would obey. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e\n]/g, '?')

/** The other end's view: what is ours is theirs there, and the name of a child is our own. */
export const mirrored = (reason: string): string =>
  reason
    .replace(/^child [^:]*: /, '')
    .replace(
      /\b(local|remote) selectors\b/,
      (_, side) => `${side === 'local' ? 'remote' : 'local'} selectors`,
    )
    .replace(/: ours (.*), theirs (.*)$/s, ': ours $2, theirs $1')

/** "NO_PROPOSAL_CHOSEN: encryption: ours aes128, theirs aes256". @param name of the notify */
export const explained = (name: string, e: Explanation | undefined): string =>
  e === undefined ? name : `${name}: ${e.reason}`
