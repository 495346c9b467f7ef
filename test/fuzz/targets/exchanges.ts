import { WireError } from '../../../src/errors.js'
import { convergence } from '../../exchange/ike-ends.js'
import { A, B, twoEnds } from '../../exchange/prephase-ends.js'
import type { Datagram, Fate, VirtualNode } from '../../exchange/virtual-network.js'
import { agreed, bounded, event, noFaults, recovers, worldOf } from '../ike-world.js'
import { messageTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

// Whole exchanges between two ends on the virtual network, disturbed for a while. Whatever happened, nothing has thrown,
// what is kept is bounded, and afterwards the two find each other again. Keys are random, so these cases cannot be
// compared octet for octet with a second run.

const HOSTILE_MS = 20_000

/** A message as somebody sends it who saw others. */
function forged(random: Random, message: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  if (message.length < 28 || random.oneIn(3)) return mutateOctets(random, message, others)
  const encrypted = (message[19]! & 1) !== 0
  if (encrypted || random.oneIn(6)) {
    // Header fields: cookies, chain, version, exchange, flags, message ID, length.
    const out = message.slice()
    const at = random.below(28)
    out[at] = random.edge(8, out[at])
    return out
  }
  return emitNode(mutateTree(random, messageTree(message), { others: [], lies: random.oneIn(2) }))
}

/** Loses, doubles and delays what is sent, and adds what was not. */
function disturbance(random: Random, trace: Trace, inject: (d: Datagram, message: Uint8Array) => void) {
  const sent: Uint8Array[] = []
  return (d: Datagram): Fate => {
    if (sent.length < 64) sent.push(d.message)
    for (let n = random.below(4); n > 0; n--) {
      const message = forged(random, random.oneIn(2) ? d.message : random.pick(sent), sent)
      trace.input(message)
      inject(d, message)
    }
    trace.input(d.message)
    switch (random.below(8)) {
      case 0:
        return []
      case 1:
        return [5, random.below(3_000)]
      case 2:
        return [random.below(3_000)]
      default:
        return [5]
    }
  }
}

const disturbed = (version: 1 | 2): Target => ({
  name: `ikev${version}-exchange`,
  about: `pre-phase, IKEv${version} and renewals with messages lost, doubled, misordered, changed and forged`,
  weight: 6,
  prepare() {
    return {
      run(random, trace) {
        const ends = worldOf(random, version)
        const { network, a, b } = ends
        const disturb = disturbance(random, trace, (d, message) => {
          // To either end, and from its peer's address as often as not.
          const back = random.oneIn(8)
          const from = random.oneIn(8) ? { ...d.from, port: random.below(65_536) } : d.from
          network.inject(back ? d.to : from, back ? d.from : d.to, message, random.below(40))
        })
        // As often as not the SAs are up before it begins, for what can only be disturbed then.
        const later = random.oneIn(2)
        if (!later) network.impairment = disturb
        a.ike.acquire(network.now, 1)
        if (random.oneIn(3)) b.ike.acquire(network.now, 1)
        if (later) network.runFor(1_000)
        network.impairment = disturb
        const until = network.now + HOSTILE_MS
        for (let n = random.below(8); n > 0; n--) {
          network.runFor(random.below(HOSTILE_MS / 8))
          event(random, ends, trace)
        }
        network.runTo(until)
        trace.note(convergence(ends).length === 0 ? 'up all the same' : 'prevented')
        for (const e of [a, b]) {
          bounded(e)
          agreed(ends, e)
        }
        recovers(ends, trace)
      },
    }
  },
})

/** The pre-phase alone, which is cheaper. */
export const PREPHASE_EXCHANGE: Target = {
  name: 'prephase-exchange',
  about:
    'the pre-phase between two ends, both schemes, with messages lost, doubled, misordered, changed and forged',
  weight: 2,
  prepare() {
    return {
      run(random, trace) {
        const scheme = random.oneIn(4) ? 'classic' : 'hardened'
        const { network, a, b } = twoEnds(scheme, { seed: random.u32() })
        network.impairment = disturbance(random, trace, (d, message) => {
          network.inject(d.from, d.to, message, random.below(40))
        })
        network.attach(A.address, readable(a))
        network.attach(B.address, readable(b))
        a.prephase.start(network.now, 'b')
        if (random.oneIn(3)) b.prephase.start(network.now, 'a')
        network.runFor(10_000)
        for (const e of [a, b]) noFaults(e.env)
        for (const { result } of a.finished) {
          const other = b.finished.find((s) => same(s.result.initiatorCookie, result.initiatorCookie))
          if (other !== undefined && result.role === 'initiator')
            must(same(other.result.psk, result.psk), 'two ends, two keys')
          trace.outcome(other === undefined ? 'one end' : 'both ends')
        }
        trace.rest()
        network.impairment = () => [5]
        network.runFor(60_000)
        const before = a.results('initiator').length
        a.prephase.start(network.now, 'b')
        must(
          network.runUntil(() => a.results('initiator').length > before, 120_000),
          'no pre-phase afterwards',
        )
        for (const e of [a, b]) {
          noFaults(e.env)
          e.prephase.shutdown()
        }
      },
    }
  },
}

/** What does not even have a header never comes to the pre-phase. */
const readable = (end: VirtualNode): VirtualNode => ({
  receive(now, local, remote, message) {
    try {
      end.receive(now, local, remote, message)
    } catch (error) {
      if (!(error instanceof WireError) || !error.field.startsWith('header')) throw error
    }
  },
  tick: (now) => end.tick(now),
  nextDeadline: () => end.nextDeadline(),
})

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

export const exchanges: readonly Target[] = [disturbed(1), disturbed(2), PREPHASE_EXCHANGE]
