import { EXCHANGE } from '../../../src/wire/ike/header.js'
import type { Datagram } from '../../exchange/virtual-network.js'
import { agreed, bounded, event, recovers, worldOf } from '../ike-world.js'
import { InsiderV1 } from '../insider-v1.js'
import { InsiderV2 } from '../insider-v2.js'
import type { Target } from '../target.js'

// One end of whole exchanges has the keys and does not keep to the rules. The other one has the same to show as when
// strangers disturb them.

const IKE_V1_INSIDER: Target = {
  name: 'ikev1-insider',
  about: 'an end that has the keys: its messages are changed before they are encrypted, and authentic',
  weight: 6,
  prepare() {
    return {
      run(random, trace) {
        const dynamicPsk = random.oneIn(4) ? 'hardened' : 'off'
        const ends = worldOf(random, 1, { fragmentSize: 0, dynamicPsk })
        const { network, a, b } = ends
        const bad = random.oneIn(2) ? a : b
        const victim = bad === a ? b : a
        const insider = new InsiderV1(bad, random)
        const first = random.below(8)
        // A begins, so that the first datagram shows where it is, behind a NAT too.
        let origin: Datagram['from'] | undefined
        let way: Pick<Datagram, 'from' | 'to'> | undefined
        network.impairment = (d) => {
          origin ??= d.from
          const own = (d.from.address.join() === origin.address.join()) === (bad === a)
          if (own) way = d
          const change = own && d.index >= first && random.oneIn(3)
          const message = insider.pass(d.message, change)
          if (message === d.message) return [5]
          trace.input(message)
          network.inject(d.from, d.to, message, 5)
          return []
        }
        a.ike.acquire(network.now, 1)
        network.runFor(3_000)
        for (let n = random.below(24); n > 0; n--) {
          const message = insider.begin(random.oneIn(2) ? EXCHANGE.QUICK_MODE : EXCHANGE.INFORMATIONAL_V1)
          if (message === undefined || way === undefined) break
          trace.input(message)
          network.inject(way.from, way.to, message, random.below(200))
          if (random.oneIn(3)) network.runFor(random.below(500))
          if (random.oneIn(6)) event(random, ends, trace)
        }
        network.runFor(6_000)
        for (const e of [a, b]) bounded(e)
        agreed(ends, victim)
        trace.note(`${victim.env.sas.size / 2} CHILD_SAs`)
        recovers(ends, trace)
      },
    }
  },
}

const IKE_V2_INSIDER: Target = {
  name: 'ikev2-insider',
  about: 'an end that has the keys: its IKEv2 payloads are changed before they are sealed, and authentic',
  weight: 6,
  prepare() {
    return {
      run(random, trace) {
        const ends = worldOf(random, 2, { dynamicPsk: random.oneIn(4) ? 'hardened' : 'off' })
        const { network, a, b } = ends
        const bad = random.oneIn(2) ? a : b
        const victim = bad === a ? b : a
        const insider = new InsiderV2(random, bad)
        network.impairment = (d) => {
          if (insider.changed) {
            insider.changed = false
            trace.input(d.message)
          }
          return [5]
        }
        // As often as not it begins when the SAs are up, for what comes only then.
        insider.keepsToRules = random.oneIn(2)
        try {
          a.ike.acquire(network.now, 1)
          if (insider.keepsToRules) network.runFor(1_000)
          insider.keepsToRules = false
          for (let n = 2 + random.below(14); n > 0; n--) {
            network.runFor(random.below(4_000))
            event(random, ends, trace)
          }
          network.runFor(6_000)
        } finally {
          insider.end()
        }
        for (const e of [a, b]) bounded(e)
        agreed(ends, victim)
        trace.note(`${victim.env.sas.size / 2} CHILD_SAs`)
        recovers(ends, trace)
      },
    }
  },
}

export const insiders: readonly Target[] = [IKE_V1_INSIDER, IKE_V2_INSIDER]
