import { describe, expect, test } from 'vitest'
import type { DynamicPsk } from '../../src/ike/config.js'
import { PayloadSet } from '../../src/ike/v2/payload-set.js'
import { NOTIFY } from '../../src/wire/ike/v2/numbers.js'
import { childConfig, convergence, type IkeEnds, selector, twoIkes } from './ike-ends.js'

// The operator asks for an IKE SA with nothing under it, RFC 6023.

const alone = ({ a, b }: IkeEnds): number[] =>
  [a, b].flatMap((e) => [e.established().length, e.peer.children.length, e.env.sas.size])

describe.each([1, 2] as const)('the IKE SA alone, IKEv%i', (version) => {
  test.each<DynamicPsk>(['off', 'classic', 'hardened'])('comes up; dynamic_psk: %s', (dynamicPsk) => {
    const ends = twoIkes({ config: { version, dynamicPsk } })
    const { network, a } = ends
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(1_000)
    expect(alone(ends)).toEqual([1, 0, 0, 1, 0, 0])
    // It is there: nothing happens.
    const sent = network.sent.length
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(5_000)
    expect(network.sent.length).toBe(sent)
    // A packet finds it.
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(convergence(ends)).toEqual([])
    expect(a.env.counted('ike.established')).toBe(1)
  })

  test('is renewed with nothing under it, and ends with a Delete', () => {
    const ends = twoIkes({ config: { version, dynamicPsk: 'off', ikeLifetimeSeconds: 300 } })
    const { network, a, b } = ends
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(1_000)
    const first = a.established()[0]!.initiatorSpi
    network.runFor(600_000)
    expect(alone(ends)).toEqual([1, 0, 0, 1, 0, 0])
    expect(a.established()[0]!.initiatorSpi).not.toBe(first)
    a.ike.terminate(network.now, 'b')
    network.runFor(60_000)
    expect([a.peer.ikeSas.length, b.peer.ikeSas.length]).toEqual([0, 0])
  })

  test('is asked for once: nothing comes of it when nobody answers', () => {
    const { network, a } = twoIkes({ config: { version, dynamicPsk: 'off' }, impairment: () => [] })
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(60_000)
    const sent = network.sent.length
    expect(a.peer.lastError?.message).toContain('no answer')
    network.runFor(60_000)
    expect(network.sent.length).toBe(sent)
  })

  test('a child that starts by itself comes with it', () => {
    const children = [childConfig({ start: 'start' })]
    const ends = twoIkes({ config: { version, dynamicPsk: 'off', children } })
    const { network, a } = ends
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(5_000)
    expect(convergence(ends)).toEqual([])
  })
})

test('a peer that does not say that it knows childless IKE SAs gets the first child with it', () => {
  const { says } = PayloadSet.prototype
  // What both ends have signed stays as it is: A does not see it.
  PayloadSet.prototype.says = function (type) {
    return type !== NOTIFY.CHILDLESS_IKEV2_SUPPORTED && says.call(this, type)
  }
  try {
    const children = [
      childConfig(),
      childConfig({ name: 'storage', policy: 2, remoteTs: [selector('10.99.0.0/24')] }),
    ]
    const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off', children } })
    const { network, a } = ends
    // Not even that this one was not wanted a moment ago.
    a.ike.terminate(network.now, 'b', 'migration')
    a.ike.initiateIkeSa(network.now, 'b')
    network.runFor(1_000)
    expect(convergence(ends)).toEqual([])
    expect(a.current()[0]!.child).toBe('migration')
  } finally {
    PayloadSet.prototype.says = says
  }
})
