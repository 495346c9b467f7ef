import { afterEach, describe, expect, test } from 'vitest'
import { fromHex, utf8 } from '../../../src/bytes/octets.js'
import type { Identity } from '../../../src/ike/identity.js'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import { PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'
import { ip } from '../../unit/ipsec/fixtures.js'
import { replaced, unharmed } from '../attacker-v1.js'
import { honest, ikeV2, insider, refused, refusedFromInsider } from '../attacker-v2.js'
import { type IkeEnd, ikePeer } from '../ike-ends.js'

// Identities of somebody who has the right key, and whose AUTH is right for what it calls itself. Either end is the victim.

afterEach(honest)

describe.each([
  ['initiator', true],
  ['responder', false],
])('the %s', (_, initiator) => {
  const right = initiator ? ikePeer().localId : ikePeer().remoteId
  const { value } = right
  /** It is configured to call itself something else; its peer still expects what is right. */
  function calledItself(claimed: Identity): IkeEnd {
    const ends = initiator
      ? ikeV2({ config: { localId: claimed }, b: { remoteId: right } })
      : ikeV2({ b: { localId: claimed } })
    const victim = initiator ? ends.b : ends.a
    // It names whom it wants to talk to as well, which would be refused before.
    insider(EXCHANGE.IKE_AUTH, (p) => (initiator ? p : p.filter((x) => x.type !== PAYLOAD.ID_R)))
    refused(ends, victim, claimed)
    expect(victim.established()).toEqual([])
    expect(victim.env.counted('ike.established')).toBe(0)
    honest()
    return victim
  }

  test('is believed under its own name', () => {
    expect(() => calledItself(right)).toThrow()
  })

  test('CVE-2013-6075: calls itself what begins like the peer, goes on behind it, or has its octets', () => {
    for (const claimed of [
      { type: 2, value: value.subarray(0, 6) },
      { type: 2, value: new Uint8Array(0) },
      { type: 2, value: Uint8Array.of(...value, 0) },
      { type: 2, value: Uint8Array.of(...value, 0x2e) },
      { type: 2, value: Uint8Array.of(value[0]! ^ 0x20, ...value.subarray(1)) },
      { type: 3, value },
      { type: 9, value },
      { type: 11, value },
      { type: 1, value },
      { type: 1, value: ip(initiator ? '192.0.2.1' : '192.0.2.2') },
      { type: 13, value: new Uint8Array(0) },
      { type: 0, value },
      { type: 255, value },
    ])
      expect(calledItself(claimed).peer.lastError?.message).toMatch(/its identity is .* where we expect/)
  })

  test('CVE-2009-2185, CVE-2009-2661, CVE-2014-2891: distinguished names whose lengths lie', () => {
    for (const der of [
      ...[
        '3084ffffffff',
        '3080',
        '30',
        '',
        '308400000000',
        '3088ffffffffffffffff',
        '300530033101',
        '30063104',
      ],
      ...['3006310430020603', '300b3109300706035504030c', '30133111300f06035504030c0800', '31ff30'],
    ])
      for (const type of [9, 10]) calledItself({ type, value: fromHex(der) })
  })

  test('CVE-2010-2628: long and ugly ones end in the log as short and plain ones', () => {
    for (const type of [1, 2, 3, 5, 9, 11, 201])
      for (const ugly of [new Uint8Array(8_000).fill(0x25), utf8('%n%s\r\n\u001b[2J\0\u009b\u202e')]) {
        const victim = calledItself({ type, value: ugly })
        const { message = '' } = victim.peer.lastError ?? {}
        expect(message).toMatch(/identity/)
        for (const line of [...victim.env.lines, { message, fields: {} }]) {
          const text = `${line.message}${Object.values(line.fields ?? {}).join()}`
          expect([...text].every((c) => c > '\u001f' && c < '\u007f')).toBe(true)
          expect(text.length).toBeLessThan(20_000)
        }
      }
  })
})

test('CVE-2013-5018: ID payloads of no length at all, and shorter than their own head', () => {
  for (const type of [PAYLOAD.ID_I, PAYLOAD.ID_R])
    for (let n = 0; n < 4; n++) refusedFromInsider(replaced(type, (b) => b.subarray(0, n)))
  for (let n = 0; n < 4; n++) {
    const ends = ikeV2()
    insider(
      { exchange: EXCHANGE.IKE_AUTH, response: true, fromResponder: true },
      replaced(PAYLOAD.ID_R, (b) => b.subarray(0, n)),
    )
    refused(ends, ends.a, n)
    honest()
    unharmed(ends)
  }
})
