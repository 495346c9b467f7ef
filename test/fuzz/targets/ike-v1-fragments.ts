import { equalOctets } from '../../../src/bytes/octets.js'
import { WireError } from '../../../src/errors.js'
import { Fragmentation, isFragment } from '../../../src/ike/v1/fragmentation.js'
import { Reassembly } from '../../../src/ike/v1/reassembly.js'
import { IKE_MESSAGE_MAX, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { emitFragments, FRAGMENT_OVERHEAD, parseFragment } from '../../../src/wire/ike/v1/fragment.js'
import { recordedV1 } from '../corpus.js'
import { messageTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

const { clear, encrypted } = recordedV1()
const messages = [...clear, ...encrypted]

export const IKE_V1_FRAGMENTS: Target = {
  name: 'ikev1-fragments',
  about: 'fragments of IKEv1 messages: changed, misordered, doubled, of several messages under one number',
  prepare() {
    return {
      run(random, trace) {
        const join = joiner(trace)
        const hostile = Array.from({ length: 1 + random.below(3) }, () => piecesOf(random)).flat()
        for (let n = 1 + random.below(8); n > 0; n--) join(hostileFragment(random, hostile))
        honest(random, join)
      },
    }
  },
}

type Join = (fragment: Uint8Array) => Uint8Array | undefined

function joiner(trace: Trace): Join {
  const fragmentation = new Fragmentation()
  let now = 0
  return (octets) => {
    trace.input(octets)
    const header = trace.parse('header', WireError, () => parseIkeHeader(octets))
    if (header === undefined || !isFragment(header)) return undefined
    const whole = trace.parse('join', WireError, () => fragmentation.join(now++, header, octets))
    if (whole === undefined) return undefined
    must(whole.length <= IKE_MESSAGE_MAX, `${whole.length} octets put together`)
    trace.outcome('whole')
    trace.octets(whole)
    return whole
  }
}

const ids = [1, 2, 0xffff]

function piecesOf(random: Random): Uint8Array[] {
  const size = FRAGMENT_OVERHEAD + 1 + random.length(400)
  return emitFragments(random.pick(messages), random.pick(ids), size) ?? []
}

function hostileFragment(random: Random, pieces: readonly Uint8Array[]): Uint8Array {
  const piece = random.pick(pieces) ?? new Uint8Array(0)
  switch (random.below(4)) {
    case 0:
      return piece
    case 1: {
      // Number and flags alone: what decides where a piece goes.
      const out = piece.slice()
      if (out.length > FRAGMENT_OVERHEAD) out[FRAGMENT_OVERHEAD - 2 + random.below(2)] = random.edge(8)
      return out
    }
    case 2:
      return mutateOctets(random, piece, pieces)
    default:
      return piece.length < FRAGMENT_OVERHEAD
        ? piece
        : emitNode(mutateTree(random, messageTree(piece), { others: [], lies: random.oneIn(2) }))
  }
}

/** Whatever came before: what a peer sends, and sends again, arrives. */
function honest(random: Random, join: Join): void {
  const message = random.pick(messages)
  const id = random.pick([...ids, 77])
  const pieces = emitFragments(message, id, FRAGMENT_OVERHEAD + 60)!
  for (let sending = 0; sending < 3; sending++)
    for (const piece of pieces) {
      const whole = join(piece)
      if (whole !== undefined && equalOctets(whole, message)) return
    }
  must(false, 'a message that was sent three times did not arrive')
}

/** Pieces that are never completed: how many octets of them may be kept. */
export const IKE_V1_FRAGMENT_FLOOD: Target = {
  name: 'ikev1-fragment-flood',
  about: 'fragments up to the bound of a message and beyond it',
  weight: 0.1,
  prepare() {
    return {
      run(random, trace) {
        const reassembly = new Reassembly()
        const data = new Uint8Array(random.pick([1, 257, 1_200, 9_000]))
        let kept = 0
        for (let n = 1 + random.below(300); n > 0; n--) {
          const number = 2 + random.below(254)
          const piece = { id: 1, number, last: random.oneIn(200), data }
          trace.input(`${number} ${piece.last} ${data.length}`)
          const whole = reassembly.add(0, piece)
          must(whole === undefined, 'put together without its first fragment')
          kept = Math.max(kept, (reassembly as unknown as { octets: number }).octets)
        }
        must(kept <= IKE_MESSAGE_MAX, `${kept} octets are kept`)
        trace.value(kept)
        for (const m of messages.slice(0, 1)) {
          const [only] = emitFragments(m, 9, 65_000)!
          const whole = reassembly.add(0, parseFragment(parseIkeHeader(only!), only!))
          must(whole !== undefined && equalOctets(whole, m), 'a message of one fragment did not arrive')
        }
      },
    }
  },
}
