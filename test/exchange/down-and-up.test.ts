import { expect, test } from 'vitest'
import { convergence, IkeEnd, IkeEnvironmentTwin, ikePeer, mirroredPeer, twoIkes } from './ike-ends.js'

// `down` and `up` right after it: the end of the old IKE SA comes in the middle of what `up` has begun.

test.each(['off', 'classic', 'hardened'] as const)(
  'the peer has started anew and proves it while a new IKE SA is made: it gets its CHILD_SA; dynamic_psk: %s',
  (dynamicPsk) => {
    const config = ikePeer({ version: 2, dynamicPsk })
    const { network, a, b } = twoIkes({ config })
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    const env = new IkeEnvironmentTwin(network, 'b again')
    env.timestamps = b.env.timestamps
    env.crashSecret = b.env.crashSecret
    const ends = { network, a, b: new IkeEnd(network, [mirroredPeer(config)], '', {}, env) }

    // The Delete is lost for now; its answer, that there is no such IKE SA, comes behind the first one of the new IKE SA.
    network.impairment = () => []
    a.ike.terminate(network.now, 'b')
    network.impairment = () => [5]
    network.runFor(1_003)
    a.ike.initiate(network.now, 'b')
    expect(network.runUntil(() => convergence(ends).length === 0, 5_000)).toBe(true)
    // It was being deleted anyhow.
    expect(a.env.counted('ike.crash-detected')).toBe(0)
  },
)
