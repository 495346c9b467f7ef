import { describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { sameIp } from '../../src/wire/ip-address.js'
import { collide, PAIRS } from './collide.js'
import { childConfig } from './ike-ends.js'
import { A } from './prephase-ends.js'

// Both ends want something of the same SAs at the same time, where every renewal takes a second key exchange: nothing is made
// before it, and the exchange with the lowest nonce stops before it (RFC 9370 section 2.2.4).

const config = {
  proposals: [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')],
  children: [childConfig({ proposals: [parseChildProposal('esp', 'aes128gcm16-x25519-ke1_mlkem768')] })],
}

describe.each(PAIRS)('A %s, B %s', (first, second) => {
  test('within two round trips, every order', () => {
    for (let gap = 0; gap <= 44; gap += 4)
      expect([gap, ...collide(`${gap}`, first, second, gap, () => [5], config)]).toEqual([gap])
  })

  test('one way slower than the other, one message slower than all', () => {
    for (const [toB, toA] of [
      [3, 40],
      [40, 3],
    ] as const)
      for (let late = 0; late < 14; late++) {
        const wrong = collide(
          `${toB} ${late}`,
          first,
          second,
          0,
          (i, d) => {
            const delay = sameIp(d.from.address, A.address) ? toB : toA
            return [i === late ? delay + 70 : delay]
          },
          config,
        )
        expect([toB, late, ...wrong]).toEqual([toB, late])
      }
  })

  test('every single message doubled, the copy late', () => {
    for (let twice = 0; twice < 16; twice++) {
      const wrong = collide(`${twice}`, first, second, 0, (i) => (i === twice ? [5, 35] : [5]), config)
      expect([twice, ...wrong]).toEqual([twice])
    }
  })
})
