import { attributeNumber } from '../../wire/ike/v1/attributes.js'
import { ATTRIBUTE_KEY_LENGTH, PROTOCOL, TRANSFORM } from '../../wire/ike/v2/numbers.js'
import type { Proposal, Transform } from '../../wire/ike/v2/sa.js'
import { explainMismatch, type Fields } from '../differences.js'
import { formatCipher, formatGroup, formatIntegrity, formatPrf } from '../proposals.js'

// Why no proposal was chosen, in words: both sides' proposals, and the first difference of the pair that comes closest.

/** Names for what sallyport does not have. */
const FOREIGN = new Map([
  ['encryption 2', 'des'],
  ['encryption 3', '3des'],
  ['encryption 18', 'aesgcm8'],
  ['encryption 19', 'aesgcm12'],
  ['encryption 23', 'camellia'],
  ['prf 1', 'prfmd5'],
  ['integrity 1', 'md5'],
  ['group 2', 'modp1024'],
  ['group 5', 'modp1536'],
  ['group 17', 'modp6144'],
  ['group 18', 'modp8192'],
  ['group 32', 'x448'],
])
const named = (text: string): string => FOREIGN.get(text.replace(/\/\d+$/, '')) ?? text

const PROTOCOLS = new Map<number, string>([
  [PROTOCOL.IKE, 'ike'],
  [PROTOCOL.AH, 'ah'],
  [PROTOCOL.ESP, 'esp'],
])

function propertyOf(t: Transform): [string, string] {
  switch (t.type) {
    case TRANSFORM.ENCR: {
      const length = t.attributes.find((a) => a.type === ATTRIBUTE_KEY_LENGTH)
      const keyBits = (length && attributeNumber(length)) ?? 0
      return ['encryption', named(formatCipher({ id: t.id, keyBits }))]
    }
    case TRANSFORM.PRF:
      return ['prf', named(formatPrf(t.id))]
    case TRANSFORM.INTEG:
      return ['integrity', t.id === 0 ? 'none' : named(formatIntegrity(t.id))]
    case TRANSFORM.KE:
      return ['group', named(formatGroup(t.id))]
    case TRANSFORM.ADDKE1:
      return ['second key exchange', t.id === 0 ? 'none' : formatGroup(t.id)]
    case TRANSFORM.ESN:
      return ['esn', t.id === 1 ? 'yes' : 'no']
    default:
      return [`transform type ${t.type}`, String(t.id)]
  }
}

/** Alternatives of each property, in order. */
function alternatives(p: Proposal): Map<string, string[]> {
  const out = new Map([['protocol', [PROTOCOLS.get(p.protocol) ?? `protocol ${p.protocol}`]]])
  for (const t of p.transforms) {
    const [name, value] = propertyOf(t)
    // "none" is what the absence of a type means.
    if (value !== 'none') out.set(name, [...(out.get(name) ?? []), value])
  }
  return out
}

const joined = (a: Map<string, string[]>): Fields =>
  Object.fromEntries([...a].map(([name, values]) => [name, values.join(' or ')]))

/** Where both have an alternative in common, that one alone: what is left is the difference. */
function narrowed(a: Map<string, string[]>, b: Map<string, string[]>): Fields {
  return Object.fromEntries(
    [...a].map(([name, values]) => {
      const common = values.find((v) => b.get(name)?.includes(v))
      return [name, common ?? values.join(' or ')]
    }),
  )
}

/** Proposals of the peer that are looked at for that. */
const COMPARED_MAX = 64

/** A log record's fields: `ours`, `theirs` and `difference`. @param ours what we would have offered */
export function explainProposals(
  ours: readonly Proposal[],
  theirs: readonly Proposal[],
): { ours: string[]; theirs: string[]; difference: string } {
  const own = ours.map(alternatives)
  const their = theirs.slice(0, COMPARED_MAX).map(alternatives)
  const shown = explainMismatch(own.map(joined), their.map(joined))
  let best: { difference: string; count: number } | undefined
  for (const a of own) {
    for (const b of their) {
      const [x, y] = [narrowed(a, b), narrowed(b, a)]
      const names = new Set([...Object.keys(x), ...Object.keys(y)])
      const count = [...names].filter((n) => x[n] !== y[n]).length
      if (best === undefined || count < best.count)
        best = { count, difference: explainMismatch([x], [y]).difference }
    }
  }
  return { ...shown, difference: best?.difference ?? shown.difference }
}
