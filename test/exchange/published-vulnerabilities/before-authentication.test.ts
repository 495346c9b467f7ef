import { describe, expect, test } from 'vitest'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { deletePayload, notifyPayload } from '../../../src/ike/v1/informational.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import { emitFragments, FRAGMENT_OVERHEAD } from '../../../src/wire/ike/v1/fragment.js'
import { NOTIFY, PAYLOAD, PROTOCOL } from '../../../src/wire/ike/v1/numbers.js'
import { ip } from '../../unit/ipsec/fixtures.js'
import {
  alter,
  clearOf,
  message5,
  raw,
  rebuilt,
  refused,
  replaced,
  toB,
  two,
  unharmed,
  without,
} from '../attacker-v1.js'
import { convergence } from '../ike-ends.js'

// One test for each class of fault that published vulnerabilities of strongSwan, libreswan, Openswan and FreeS/WAN had, as
// far as it could exist here. The numbers say where the class is from; what is done is this program's own protocol.

describe('before the peer has proved who it is', () => {
  test('CVE-2023-41913: public values of every length but the right one', () => {
    for (const length of [0, 1, 31, 33, 64, 256, 4_096, 16_000]) {
      const ends = two()
      refused(ends, 1, (m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.KE, () => new Uint8Array(length).fill(9)),
        ),
      )
      unharmed(ends)
    }
  })

  test.each(['x25519', 'modp2048', 'ecp256'])(
    'CVE-2015-3240: public values of %s that give the secret away',
    (group) => {
      for (const value of [0, 1, 0xff]) {
        const ends = two({ config: { proposals: [parseIkeProposal(`aes128-sha256-${group}`)] } })
        const last = (b: Uint8Array): Uint8Array => {
          const out = new Uint8Array(b.length).fill(value === 0xff ? 0xff : 0)
          if (value === 1) out[group === 'x25519' ? 0 : b.length - 1] = 1
          return out
        }
        if (group === 'x25519' && value === 0xff) continue // a usual point: only its highest bit is not used
        refused(ends, 1, (m) => rebuilt(m, replaced(PAYLOAD.KE, last)))
        unharmed(ends)
      }
    },
  )

  test('CVE-2013-6467: messages that lack a payload', () => {
    for (const [number, type] of [
      [0, PAYLOAD.SA],
      [1, PAYLOAD.KE],
      [1, PAYLOAD.NONCE],
    ] as const) {
      const ends = two()
      refused(ends, number, (m) => rebuilt(m, without(type)))
      unharmed(ends)
    }
    for (const type of [PAYLOAD.ID, PAYLOAD.HASH]) {
      const ends = two()
      refused(ends, 2, (m) => message5(ends, m, without(type)))
      unharmed(ends)
    }
  })

  test('CVE-2014-2338: Quick Mode and Delete do nothing before the IKE SA is established', () => {
    const ends = two()
    alter(ends, 2, () => new Uint8Array(0))
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(500)
    const body = new Uint8Array(64).fill(3)
    const { a } = ends
    for (const exchange of [EXCHANGE.QUICK_MODE, EXCHANGE.INFORMATIONAL_V1]) {
      const early = raw(clearOf(a, exchange, [], 1), { nextPayload: PAYLOAD.HASH }, body)
      expect(toB(ends, early, 50)).toEqual([])
    }
    expect(ends.b.env.counted('ike.too-early')).toBe(2)
    expect(ends.b.env.sas.size).toBe(0)
    // The exchange that is under way is none the worse for it.
    expect(ends.network.runUntil(() => convergence(ends).length === 0, 10_000)).toBe(true)
    unharmed(ends)
  })

  test('CVE-2019-12312: an Informational in the place of the authentication', () => {
    for (const flags of [0, 1]) {
      const ends = two()
      const note = notifyPayload(NOTIFY.NO_PROPOSAL_CHOSEN, PROTOCOL.ISAKMP, new Uint8Array(0))
      alter(ends, 2, (m) => {
        const bogus = clearOf(
          ends.a,
          EXCHANGE.INFORMATIONAL_V1,
          [note, deletePayload(PROTOCOL.ISAKMP, [m.slice(0, 16)])],
          flags,
        )
        ends.network.inject(
          { address: ip('192.0.2.1'), port: 500 },
          { address: ip('192.0.2.2'), port: 500 },
          bogus,
          1,
        )
        return m
      })
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      expect(convergence(ends)).toEqual([])
      unharmed(ends)
    }
  })

  test('CVE-2013-6075: only the very identity is the peer, not what begins like it or has its octets', () => {
    const right = new TextEncoder().encode('dom0-a.example')
    const id = (type: number, value: Uint8Array): Uint8Array => Uint8Array.of(type, 0, 0, 0, ...value)
    for (const body of [
      id(2, right.subarray(0, 6)),
      id(2, new Uint8Array(0)),
      id(2, Uint8Array.of(...right, 0)),
      id(2, Uint8Array.of(...right, 0x2e)),
      id(3, right),
      id(9, right),
      id(9, Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)),
      id(11, right),
      id(1, ip('192.0.2.1')),
      id(1, right),
    ]) {
      const ends = two()
      refused(ends, 2, (m) =>
        message5(
          ends,
          m,
          replaced(PAYLOAD.ID, () => body),
        ),
      )
      expect(ends.b.peer.lastError?.message ?? '').toMatch(/identity|malformed|^$/)
      unharmed(ends)
    }
  })

  test('CVE-2013-5018: identities of no length at all, and shorter than their own head', () => {
    for (let n = 0; n <= 4; n++) {
      const ends = two()
      refused(ends, 2, (m) =>
        message5(
          ends,
          m,
          replaced(PAYLOAD.ID, (old) => old.subarray(0, n)),
        ),
      )
      unharmed(ends)
    }
  })

  test('CVE-2010-2628: long and ugly identities end in the log as short and plain ones', () => {
    for (const value of [new Uint8Array(8_000).fill(0x25), new TextEncoder().encode('%n%s\r\n\u001b[2J\0')]) {
      const ends = two()
      refused(ends, 2, (m) =>
        message5(
          ends,
          m,
          replaced(PAYLOAD.ID, () => Uint8Array.of(2, 0, 0, 0, ...value)),
        ),
      )
      for (const line of ends.b.env.lines) {
        const text = `${line.message}${Object.values(line.fields ?? {}).join()}`
        expect([...text].every((c) => c > '\u001f' && c !== '\u007f')).toBe(true)
        expect(text.length).toBeLessThan(20_000)
      }
      unharmed(ends)
    }
  })

  test('CVE-2013-2944: an empty, a zero, a cut or a longer hash is no proof', () => {
    for (const hash of [
      () => new Uint8Array(0),
      () => new Uint8Array(32),
      (h: Uint8Array) => h.subarray(0, 16),
      (h: Uint8Array) => Uint8Array.of(...h, 0),
    ]) {
      const ends = two()
      refused(ends, 2, (m) => message5(ends, m, (p) => p, hash))
      unharmed(ends)
    }
  })

  test('CVE-2013-6076: fragments that are zero, empty, alone, last without a first, or fragments themselves', () => {
    const ends = two()
    ends.a.ike.acquire(ends.network.now, 1)
    ends.network.runFor(8)
    const whole = ends.network.sent[0]!.message
    const [piece] = emitFragments(whole, 1, FRAGMENT_OVERHEAD + 40)!
    const field = (at: number, value: number): Uint8Array => {
      const out = piece!.slice()
      out[IKE_HEADER_LEN + 4 + at] = value
      return out
    }
    const cut = (n: number): Uint8Array =>
      rebuilt(
        piece!,
        replaced(PAYLOAD.FRAGMENT, (b) => b.subarray(0, n)),
      )
    const [nested] = emitFragments(piece!, 2, 4_000)!
    for (const message of [
      field(2, 0),
      field(2, 255),
      field(3, 1),
      cut(0),
      cut(3),
      cut(4),
      cut(5),
      nested!,
      rebuilt(piece!, (p) => [...p, ...p]),
    ])
      toB(ends, message, 1)
    ends.network.runFor(2_000)
    unharmed(ends)
  })
})
