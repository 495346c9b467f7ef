import { describe, expect, test } from 'vitest'
import { isZero } from '../../src/bytes/octets.js'
import { EXCHANGE, parseIkeHeader } from '../../src/wire/ike/header.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { childConfig, convergence, twoIkes } from './ike-ends.js'
import { A } from './prephase-ends.js'

// Both ends want to be together and begin again and again, and the first messages of one of them never arrive: a NAT or a firewall
// opens from one side only.

describe.each([1, 2] as const)('first messages come through one way only, IKEv%i', (version) => {
  test('the ends are together after a few seconds, whichever numbers they draw', () => {
    for (let seed = 0; seed < 20; seed++) {
      const config = { version, dynamicPsk: 'off', children: [childConfig({ start: 'start' })] } as const
      const ends = twoIkes({ seed, config })
      const { network } = ends
      network.impairment = ({ from, message }) => {
        const { exchange, responderSpi } = parseIkeHeader(message)
        const first = exchange === (version === 1 ? EXCHANGE.MAIN_MODE : EXCHANGE.IKE_SA_INIT)
        return first && isZero(responderSpi) && sameIp(from.address, A.address) ? [] : [5]
      }
      const from = network.now
      network.runUntil(() => convergence(ends).length === 0, 60_000)
      expect([seed, ...convergence(ends)]).toEqual([seed])
      expect(network.now - from).toBeLessThan(8_000)
      // And stay together.
      network.runFor(120_000)
      expect([seed, ...convergence(ends)]).toEqual([seed])
      expect(ends.a.peer.ikeSas).toHaveLength(1)
      expect(ends.a.peer.lastError).toBeUndefined()
    }
  })
})
