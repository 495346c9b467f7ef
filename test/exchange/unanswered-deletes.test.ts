import { expect, test } from 'vitest'
import type { ChildConfig } from '../../src/ike/config.js'
import { IKE_LIMITS } from '../../src/ike/limits.js'
import type { IkeSaV2 } from '../../src/ike/v2/ike-sa-v2.js'
import type { Task } from '../../src/ike/v2/next-ike-sa.js'
import type { OwnedChild } from '../../src/ike/v2/own-states.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { FLAG } from '../../src/wire/ike/v2/numbers.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { convergence, type IkeEnd, type IkeEnds, twoIkes } from './ike-ends.js'
import { B } from './prephase-ends.js'

// A peer, authentic as it is, that makes one SA after another and confirms no Delete: what is kept of it has a bound.

/** B's requests never come to A, which says nothing of its own but CREATE_CHILD_SA. */
function confirmsNothing(): IkeEnds {
  const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
  const { network, a, b } = ends
  for (const { env } of [a, b]) Object.assign(env, { crashSecret: undefined })
  a.ike.acquire(network.now, 1)
  network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  network.impairment = ({ from, message }) => {
    const h = parseIkeHeader(message)
    const request = (h.flags & FLAG.RESPONSE) === 0
    return request && (sameIp(from.address, B.address) || h.exchange === EXCHANGE.INFORMATIONAL) ? [] : [1]
  }
  return ends
}

interface Inside {
  children: OwnedChild[]
  tasks: Task[]
  pump(now: number): void
}
const insideOf = ({ ike }: IkeEnd, peer: string): { inside: Inside; child: ChildConfig } => {
  const { peers } = ike as unknown as {
    peers: Map<string, { config: { children: ChildConfig[] }; sas: { usable(): IkeSaV2 } }>
  }
  const { config, sas } = peers.get(peer)!
  return { inside: (sas.usable() as unknown as { up: Inside }).up, child: config.children[0]! }
}

test('IKE SAs', () => {
  const { network, a, b } = confirmsNothing()
  const { ikeSasPerPeer, closingPerPeer } = IKE_LIMITS
  let most = 0
  for (let i = 0; i < 300; i++) {
    a.ike.rekey(network.now, 'b')
    network.runFor(20)
    most = Math.max(most, a.peer.ikeSas.length, b.peer.ikeSas.length)
  }
  expect(b.env.counted('ike.rekeyed')).toBe(300)
  expect(most).toBeLessThanOrEqual(ikeSasPerPeer + closingPerPeer + 1)
})

test('CHILD_SAs', () => {
  const { network, a, b } = confirmsNothing()
  const { childSasPerPolicy } = IKE_LIMITS
  let most = 0
  for (let i = 0; i < 200; i++) {
    // A plain new one: A has forgotten what it had.
    const { inside, child } = insideOf(a, 'b')
    inside.children = []
    inside.tasks = [{ kind: 'CHILD', child, renews: undefined, at: 0, tries: 0 }]
    inside.pump(network.now)
    network.runFor(10)
    most = Math.max(most, insideOf(b, 'a').inside.children.length)
  }
  expect(most).toBeLessThanOrEqual(2 * childSasPerPolicy)
  expect(b.env.counted('ike.temporary-failure')).toBeGreaterThan(0)
})
