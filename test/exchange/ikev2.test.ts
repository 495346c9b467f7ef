import { describe, expect, test } from 'vitest'
import type { DynamicPsk } from '../../src/ike/config.js'
import { convergence, twoIkes } from './ike-ends.js'

const SETTINGS: DynamicPsk[] = ['off', 'classic', 'hardened']

describe('establishment', () => {
  test.each(SETTINGS)('on demand, dynamic_psk: %s', (dynamicPsk) => {
    const ends = twoIkes({ config: { version: 2, dynamicPsk } })
    const { network, a, b } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(200)
    expect(convergence(ends)).toEqual([])
    expect(a.env.counted('ike.malformed') + b.env.counted('ike.malformed')).toBe(0)
    expect(a.peer.phase).toBe('established')
    expect(a.peer.lastError).toBeUndefined()
    // IKE_SA_INIT and IKE_AUTH have two messages each, the pre-phase four.
    expect(network.sent.length).toBe(dynamicPsk === 'off' ? 4 : 8)
  })
})
