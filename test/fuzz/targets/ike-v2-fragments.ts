import { equalOctets } from '../../../src/bytes/octets.js'
import { WireError } from '../../../src/errors.js'
import { asksAgain, Fragments, isFragment, openMessage } from '../../../src/ike/v2/fragmentation.js'
import { FRAGMENTS_MAX, type Joined, Reassembly } from '../../../src/ike/v2/reassembly.js'
import { IKE_MESSAGE_MAX, parseIkeHeader } from '../../../src/wire/ike/header.js'
import { pad } from '../../../src/wire/ike/v2/encrypted.js'
import { mutateOctets } from '../mutate/octets.js'
import type { Random } from '../random.js'
import { bothKinds, type Ends, sealRaw } from '../sealing-v2.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'
import { V2_CHAINS } from './ike-v2-wire.js'

/** Chains of some length, so that there is something to cut. */
const CHAINS = V2_CHAINS.filter((c) => c.octets.length > 100)

export const IKE_V2_FRAGMENTS: Target = {
  name: 'ikev2-fragments',
  about:
    'authentic fragments of IKEv2 messages, of several messages and cuts under one number, and forged ones',
  prepare() {
    const kinds = bothKinds()
    return {
      run(random, trace) {
        const ends = random.pick(kinds)
        const join = joiner(ends, trace)
        const hostile = Array.from({ length: 1 + random.below(3) }, () => pieces(random, ends, 1)).flat()
        const given: Uint8Array[] = []
        for (let n = 1 + random.below(12); n > 0; n--) {
          const piece = hostileFragment(random, ends, hostile)
          if (random.oneIn(6)) given.push(piece)
          join(random.oneIn(5) ? random.pick([...given, piece]) : piece)
        }
        honest(random, ends, join)
      },
    }
  },
}

type Join = (message: Uint8Array) => Joined | undefined

/** As an IKE SA takes them; what it puts together was sealed by somebody with the keys. */
function joiner({ responder }: Ends, trace: Trace): Join {
  const fragments = new Fragments()
  return (octets) => {
    trace.input(octets)
    const header = trace.parse('header', WireError, () => parseIkeHeader(octets))
    if (header === undefined || !isFragment(header)) return undefined
    const { opener } = responder
    trace.parse('again', WireError, () => trace.value(Number(asksAgain(opener, header, octets))))
    const joined = trace.parse('join', WireError, () => fragments.receive(opener, header, octets, false))
    if (joined === undefined) return undefined
    trace.outcome(typeof joined === 'string' ? joined : 'whole')
    if (typeof joined === 'string') return undefined
    must(joined.plaintext.length <= IKE_MESSAGE_MAX, `${joined.plaintext.length} octets put together`)
    must(joined.largest >= joined.message.length, 'the largest fragment is smaller than the first')
    trace.octets(joined.plaintext)
    trace.parse('inner', WireError, () => openMessage(opener, header, joined.message, joined))
    return joined
  }
}

/** A chain cut into fragments of `size` octets of payloads. */
function cut(ends: Ends, chain: { first: number; octets: Uint8Array }, messageId: number, size: number) {
  const total = Math.ceil(chain.octets.length / size)
  return Array.from({ length: total }, (_, i) => {
    const plaintext = pad(chain.octets.subarray(i * size, (i + 1) * size), ends.block)
    const place = { number: i + 1, total }
    return sealRaw(ends.initiator, { messageId, first: i === 0 ? chain.first : 0, plaintext, place })
  })
}

const pieces = (random: Random, ends: Ends, messageId: number): Uint8Array[] =>
  cut(ends, random.pick(CHAINS), messageId, 20 + random.length(200))

function hostileFragment(random: Random, ends: Ends, known: readonly Uint8Array[]): Uint8Array {
  switch (random.below(4)) {
    case 0:
      return mutateOctets(random, random.pick(known), known)
    case 1: {
      // Authentic, with any numbers.
      const number = random.oneIn(3) ? random.edge(16) : random.below(5)
      const total = random.oneIn(3) ? random.edge(16) : number + random.below(4)
      const plaintext = pad(random.octets(random.length(600)), ends.block)
      const messageId = random.pick([1, 1, 1, 2, 0xffff_ffff])
      return sealRaw(ends.initiator, {
        messageId,
        first: random.edge(8),
        plaintext,
        place: { number, total },
      })
    }
    default:
      return random.pick(known)
  }
}

/** Whatever came before: the next message arrives, in any order of its fragments, some of them twice. */
function honest(random: Random, ends: Ends, join: Join): void {
  const chain = random.pick(CHAINS)
  const own = cut(ends, chain, 3, 30 + random.below(100))
  for (let at = own.length - 1; at > 0; at--) {
    const other = random.below(at + 1)
    ;[own[at], own[other]] = [own[other]!, own[at]!]
  }
  let arrived: Joined | undefined
  for (const piece of own) {
    must(arrived === undefined, 'put together before its last fragment')
    if (random.oneIn(4) && own.length > 1) join(own[0]!)
    arrived ??= join(piece)
  }
  must(arrived !== undefined, 'a message did not arrive')
  must(equalOctets(arrived.plaintext, chain.octets), 'put together to something else')
  must(arrived.first === chain.first, 'its first payload is of another type')
}

/** Pieces that are never completed: how many octets of them may be kept. */
export const IKE_V2_FRAGMENT_FLOOD: Target = {
  name: 'ikev2-fragment-flood',
  about: 'authentic fragments of IKEv2 up to the bounds of a message and beyond them',
  weight: 0.1,
  prepare() {
    return {
      run(random, trace) {
        const reassembly = new Reassembly()
        const inside = reassembly as unknown as { octets: number; pieces: Map<number, Uint8Array> }
        const plaintext = new Uint8Array(random.pick([0, 1, 257, 1_200, 9_000]))
        const message = new Uint8Array(plaintext.length + 60)
        const total = random.pick([2, 200, FRAGMENTS_MAX, FRAGMENTS_MAX + 1, 0xffff])
        for (let n = 1 + random.below(400); n > 0; n--) {
          const place = { number: 2 + random.below(total - 1), total: random.oneIn(50) ? total + 1 : total }
          trace.input(`${place.number} ${place.total} ${plaintext.length}`)
          const joined = trace.parse('add', WireError, () => {
            const wanted = reassembly.wants(1, place)
            return wanted ? reassembly.add(1, { place, first: 0, plaintext, message }) : undefined
          })
          must(joined === undefined, 'put together without its first fragment')
          const kept = [...inside.pieces.values()].reduce((sum, p) => sum + p.length, 0)
          must(kept <= IKE_MESSAGE_MAX && kept === inside.octets, `${kept} octets are kept`)
          must(inside.pieces.size <= FRAGMENTS_MAX, `${inside.pieces.size} fragments are kept`)
          trace.value(kept)
        }
        const only = { place: { number: 1, total: 1 }, first: 41, plaintext, message }
        must(reassembly.wants(2, only.place), 'the next message is not wanted')
        must(reassembly.add(2, only) !== undefined, 'a message of one fragment did not arrive')
      },
    }
  },
}
