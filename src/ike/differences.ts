// Why a negotiation failed, in words: both sides' proposals as named fields, and the first difference of the pair that
// comes closest to agreement.

/** Named properties of one proposal, in the order in which differences are told. */
export type Fields = Readonly<Record<string, string>>

export const sameFields = (a: Fields, b: Fields): boolean => differing(a, b).length === 0

function differing(a: Fields, b: Fields): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...names].filter((n) => a[n] !== b[n])
}

export const formatFields = (f: Fields): string =>
  Object.entries(f)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')

/** What two ends say of the selectors and the mode of a child. */
export const selectorFields = (local: string, remote: string, mode: string): Fields => ({
  mode,
  'local selectors': local,
  'remote selectors': remote,
})

/** Proposals of one side shown at most. */
const SHOWN_MAX = 8

/** A log record's fields: `ours`, `theirs` and `difference`. */
export function explainMismatch(
  ours: readonly Fields[],
  theirs: readonly Fields[],
): { ours: string[]; theirs: string[]; difference: string } {
  return {
    ours: ours.slice(0, SHOWN_MAX).map(formatFields),
    theirs: theirs.slice(0, SHOWN_MAX).map(formatFields),
    difference: firstDifference(ours, theirs),
  }
}

/** "encryption: ours aes128, theirs aes256" of the closest pair. */
export function firstDifference(ours: readonly Fields[], theirs: readonly Fields[]): string {
  let best: { own: Fields; their: Fields; names: string[] } | undefined
  for (const own of ours) {
    for (const their of theirs) {
      const names = differing(own, their)
      if (best === undefined || names.length < best.names.length) best = { own, their, names }
    }
  }
  if (best === undefined)
    return ours.length === 0 ? 'we have nothing to propose' : 'the peer proposes nothing'
  const name = best.names[0]
  if (name === undefined) return 'none'
  return `${name}: ours ${best.own[name] ?? 'absent'}, theirs ${best.their[name] ?? 'absent'}`
}
