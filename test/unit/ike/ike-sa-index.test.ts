import { describe, expect, test } from 'vitest'
import type { IkeSa } from '../../../src/ike/ike-sa.js'
import { IkeSaIndex } from '../../../src/ike/ike-sa-index.js'
import type { Peer } from '../../../src/ike/peer.js'
import { parseIp } from '../../../src/wire/ip-address.js'

const ip = (text: string): Uint8Array => parseIp(text)!
const peer = (remote: string): Peer => ({ config: { remote: ip(remote) } }) as Peer
const ikeSa = (spi: number, over: Partial<IkeSa> = {}): IkeSa =>
  ({ initiatorSpi: new Uint8Array(8).fill(spi), version: 2, follows: false, ...over }) as IkeSa

describe('IKE SAs by initiator SPI', () => {
  test('those of the same SPI are told apart by the address of their peer', () => {
    const index = new IkeSaIndex()
    const [p, q] = [peer('192.0.2.1'), peer('192.0.2.2')]
    const [one, other] = [ikeSa(1), ikeSa(1)]
    index.add(p, one)
    index.add(q, other)
    expect(index.with(one.initiatorSpi, ip('192.0.2.2'))).toEqual({ peer: q, sa: other })
    expect(index.with(one.initiatorSpi, ip('192.0.2.3'))).toBeUndefined()
    index.remove(p, one)
    expect(index.with(one.initiatorSpi, ip('192.0.2.1'))).toBeUndefined()
    expect(index.has(one.initiatorSpi)).toBe(true)
    index.remove(q, other)
    expect(index.has(one.initiatorSpi)).toBe(false)
    expect([...index.values()]).toEqual([])
  })

  test('one that has come in the place of another stays when that goes', () => {
    const index = new IkeSaIndex()
    const p = peer('192.0.2.1')
    const [old, next] = [ikeSa(1), ikeSa(1)]
    index.add(p, old)
    index.add(p, next)
    index.remove(p, old)
    expect([...index.values()]).toEqual([{ peer: p, sa: next }])
  })

  test('from an address of nobody: one of the same version whose peer a NAT may have moved', () => {
    const index = new IkeSaIndex()
    const [still, moving] = [ikeSa(1), ikeSa(1, { follows: true })]
    index.add(peer('192.0.2.1'), still)
    expect(index.moved(still.initiatorSpi, 2)).toBeUndefined()
    index.add(peer('192.0.2.2'), moving)
    expect(index.moved(still.initiatorSpi, 2)?.sa).toBe(moving)
    expect(index.moved(still.initiatorSpi, 1)).toBeUndefined()
    expect(index.moved(new Uint8Array(8), 2)).toBeUndefined()
  })
})
