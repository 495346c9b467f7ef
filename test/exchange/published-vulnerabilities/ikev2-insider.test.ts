import { afterEach, describe, expect, test } from 'vitest'
import { parseChildProposal } from '../../../src/ike/proposals.js'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { emitDelete, emitNotify, parseNotify } from '../../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD, PROTOCOL, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v2/sa.js'
import { replaced, unharmed, without } from '../attacker-v1.js'
import {
  established,
  honest,
  insider,
  rekey,
  rekeyed,
  rekeyRefused,
  sealing,
  transforms,
} from '../attacker-v2.js'
import { childConfig } from '../ike-ends.js'

// As in insider.test.ts, for IKEv2. What an end seals is changed before.

afterEach(honest)

test('the insider changes nothing when it is told to change nothing', () => {
  insider(EXCHANGE.IKE_AUTH, (p) => p.map((x) => ({ ...x })))
  const ends = established()
  insider(EXCHANGE.CREATE_CHILD_SA, (p) => p.map((x) => ({ ...x })))
  rekey(ends)
  expect(ends.b.env.saEvents.filter((e) => 'add' in e && e.add.direction === 'inbound').length).toBe(2)
})

describe('from a peer that has the keys', () => {
  test('CVE-2023-38710: a rekey of an SA whose protocol is neither ESP nor AH', () => {
    for (const protocol of [0, 1, 2, 4, 5, 255]) {
      const ends = rekeyed(
        replaced(PAYLOAD.NOTIFY, (b) => {
          const n = parseNotify(b)
          return n.type === NOTIFY.REKEY_SA ? emitNotify({ ...n, protocol }) : b
        }),
      )
      expect(ends.b.env.counted('ike.child-sa-not-found')).toBe(1)
      unharmed(ends)
    }
  })

  test('CVE-2023-23009: traffic selectors of the wrong length or count', () => {
    for (const type of [PAYLOAD.TS_I, PAYLOAD.TS_R])
      for (const at of [0, 4, 7])
        for (const value of [0, 1, 15, 17, 40, 255])
          rekeyRefused(
            replaced(type, (b) => {
              const out = b.slice()
              if (out[at] === value) return out.subarray(1)
              out[at] = value
              return out
            }),
          )
  })

  test('CVE-2024-3652: algorithms and protocols of a CHILD_SA that nobody configured', () => {
    for (let id = 0; id < 40; id++)
      if (id !== 20)
        rekeyRefused(
          replaced(
            PAYLOAD.SA,
            transforms((t) => (t.type === TRANSFORM.ENCR ? { ...t, id } : t)),
          ),
        )
    for (const protocol of [0, PROTOCOL.IKE, PROTOCOL.AH, 4, 255])
      rekeyRefused(replaced(PAYLOAD.SA, (b) => emitSa(parseSa(b).map((p) => ({ ...p, protocol })))))
  })

  describe.each([
    ['request', false],
    ['response', true],
  ])('CVE-2009-1958: a renewal whose %s lacks a payload', (_, response) => {
    test.each(['TS_I', 'TS_R', 'SA', 'NONCE', 'KE'] as const)('%s', (name) => {
      const children = [childConfig({ proposals: [parseChildProposal('esp', 'aes128gcm16-x25519')] })]
      const ends = established({ config: { children } })
      const whose = { exchange: EXCHANGE.CREATE_CHILD_SA, response, fromResponder: response }
      insider(whose, without(PAYLOAD[name]))
      rekey(ends)
      ends.network.runFor(300)
      const victim = response ? ends.a : ends.b
      expect(victim.env.inbound().length).toBeLessThanOrEqual(1)
      honest()
      unharmed(ends)
    })
  })

  describe('CVE-2020-1763: Notify and Delete that are cut, or whose lengths and counts lie', () => {
    /** A asks with other payloads than it would. */
    const told = (payloads: readonly PayloadInit[], ends = established()): void => {
      sealing({ exchange: EXCHANGE.CREATE_CHILD_SA }, (h) => [
        { ...h, exchange: EXCHANGE.INFORMATIONAL },
        payloads,
      ])
      rekey(ends)
      honest()
      expect(ends.b.env.counted('ike.internal')).toBe(0)
      unharmed(ends)
    }
    const notify = emitNotify({
      ...{ protocol: PROTOCOL.ESP, spi: Uint8Array.of(1, 2, 3, 4), type: NOTIFY.REKEY_SA },
      data: new Uint8Array(8),
    })
    const deletion = emitDelete({ protocol: PROTOCOL.ESP, spis: [0x1234, 0x5678] })
    test.each([
      ['NOTIFY', notify],
      ['DELETE', deletion],
    ] as const)('%s', (name, whole) => {
      const type = PAYLOAD[name]
      for (let n = 0; n < whole.length; n++) told([{ type, body: whole.subarray(0, n) }])
      for (let at = 0; at < 4; at++)
        for (const value of [0, 1, 3, 4, 5, 8, 16, 0x7f, 0xff]) {
          const body = whole.slice()
          body[at] = value
          told([{ type, body }])
        }
    })

    test('far too many of them', () => {
      const of = (type: number, body: Uint8Array, n: number) =>
        Array.from({ length: n }, () => ({ type, body }))
      told(of(PAYLOAD.NOTIFY, notify, 1_000))
      told(of(PAYLOAD.DELETE, deletion, 1_000))
      told([
        { type: PAYLOAD.DELETE, body: emitDelete({ protocol: PROTOCOL.ESP, spis: Array(8_000).fill(7) }) },
      ])
    })
  })

  test('CVE-2023-38712: Deletes and Notifies beside the Delete of the IKE SA that carries them', () => {
    const ends = established()
    const end = { type: PAYLOAD.DELETE, body: emitDelete({ protocol: PROTOCOL.IKE, spis: [] }) }
    const spis = ends.a.env.inbound().map((s) => s.spi)
    const child = {
      type: PAYLOAD.DELETE,
      body: emitDelete({ protocol: PROTOCOL.ESP, spis: [...spis, ...spis] }),
    }
    sealing({ exchange: EXCHANGE.CREATE_CHILD_SA }, (h) => [
      { ...h, exchange: EXCHANGE.INFORMATIONAL },
      [child, end, child, end],
    ])
    rekey(ends)
    honest()
    expect(ends.b.env.sas.size).toBe(0)
    expect(ends.b.established()).toEqual([])
    unharmed(ends)
  })
})
