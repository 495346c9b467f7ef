import { describe, expect, test } from 'vitest'
import { emitPacket, PACKET, PacketSplitter, parsePacket } from '../../src/daemon/control/vici-packet.js'
import { WireError } from '../../src/errors.js'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { deletePayload, dpdPayload, notifyPayload } from '../../src/ike/v1/informational.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { numberAttribute } from '../../src/wire/ike/v1/attributes.js'
import { emitFragments, FRAGMENT_OVERHEAD } from '../../src/wire/ike/v1/fragment.js'
import { NOTIFY, PAYLOAD, PHASE1, PROTOCOL } from '../../src/wire/ike/v1/numbers.js'
import { emitSa, parseSa, type Transform } from '../../src/wire/ike/v1/sa.js'
import { DST, ip, pair, put, SUITES, saSpec, verdict } from '../unit/ipsec/fixtures.js'
import {
  alter,
  clearOf,
  established,
  firstMessage,
  message5,
  quickModePayloads,
  raw,
  rebuilt,
  replaced,
  sealedBy,
  toB,
  two,
  unharmed,
  without,
} from './attacker-v1.js'
import { childConfig, convergence, type IkeEnds } from './ike-ends.js'

// One test for each class of fault that published vulnerabilities of strongSwan, libreswan, Openswan and FreeS/WAN had, as
// far as it could exist here. The numbers say where the class is from; what is done is this program's own protocol.

/** Changes every transform of an SA payload. */
const transforms =
  (change: (t: Transform) => Transform) =>
  (body: Uint8Array): Uint8Array => {
    const sa = parseSa(body)
    return emitSa({
      ...sa,
      proposals: sa.proposals.map((p) => ({ ...p, transforms: p.transforms.map(change) })),
    })
  }
const withNumber =
  (type: number, value: number) =>
  (t: Transform): Transform => ({
    ...t,
    attributes: [...t.attributes.filter((a) => a.type !== type), numberAttribute(type, value)],
  })
const lacking =
  (type: number) =>
  (t: Transform): Transform => ({ ...t, attributes: t.attributes.filter((a) => a.type !== type) })

/** Main Mode with A's message `number` changed on its way: B has no IKE SA of it. */
function refused(ends: IkeEnds, number: number, change: (m: Uint8Array) => Uint8Array): void {
  alter(ends, number, change)
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(900)
  expect(ends.b.established()).toEqual([])
  expect(ends.b.env.sas.size).toBe(0)
}

describe('the attacker', () => {
  let ends: IkeEnds

  test('changes nothing when it is told to change nothing', () => {
    for (const [number, change] of [
      [
        0,
        (m: Uint8Array) =>
          rebuilt(
            m,
            replaced(
              PAYLOAD.SA,
              transforms((t) => t),
            ),
          ),
      ],
      [1, (m: Uint8Array) => rebuilt(m, (p) => p)],
      [2, (m: Uint8Array) => message5(ends, m, (p) => p)],
    ] as const) {
      ends = two()
      alter(ends, number, change)
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      expect(convergence(ends)).toEqual([])
    }
  })

  test('is believed where it keeps to the rules', () => {
    ends = established()
    toB(ends, sealedBy(ends.a, quickModePayloads(ends), { exchange: EXCHANGE.QUICK_MODE }), 20)
    expect(ends.b.env.inbound().length).toBe(2)
    toB(ends, sealedBy(ends.a, [deletePayload(PROTOCOL.ISAKMP, [ikeSaOf(ends)])]), 20)
    expect(ends.b.established()).toEqual([])
  })
})

/** Both cookies of A's IKE SA. */
const ikeSaOf = (ends: IkeEnds): Uint8Array => clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, []).slice(0, 16)

describe('first messages', () => {
  test('CVE-2021-41991: a full table gives its oldest entry away, and goes on', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let i = 0; i < 60; i++) {
      const flood = first.slice()
      flood.set([1, 2, 3, 4, 5, 6, 7, i + 1])
      toB(ends, flood, 300)
      expect(ends.b.peer.ikeSas.length).toBeLessThanOrEqual(8)
    }
    expect(ends.b.env.counted('ike.half-open-limit')).toBeGreaterThan(30)
    unharmed(ends)
  })

  test('CVE-2016-5361: one forged message is answered once, with no more octets than it had', () => {
    const ends = two()
    const first = firstMessage(ends)
    const answers = toB(ends, first, 60_000)
    expect(answers.length).toBe(1)
    expect(answers[0]!.length).toBeLessThanOrEqual(first.length)
    const again = Array.from({ length: 100 }, () => toB(ends, first, 10)).flat()
    expect(again.length).toBeLessThanOrEqual(20)
    unharmed(ends)
  })

  test('CVE-2016-5361: the pre-phase does not answer whoever cannot prove to have the key', () => {
    const ends = two({ config: { dynamicPsk: 'hardened' } })
    const first = firstMessage(ends)
    for (const at of [40, 60, first.length - 1]) {
      const forged = first.slice()
      forged[at]! ^= 1
      expect(toB(ends, forged, 5_000)).toEqual([])
    }
    unharmed(ends)
  })

  test('CVE-2013-4564: headers that are cut, lie about their length or have another version', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let n = 0; n <= IKE_HEADER_LEN; n++) expect(toB(ends, first.subarray(0, n), 1)).toEqual([])
    for (const length of [0, 1, 27, 28, first.length - 1, first.length + 1, 0x7fff_ffff, 0xffff_ffff])
      expect(toB(ends, raw(first, { length }), 1)).toEqual([])
    for (const version of [0, 1, 0x0f, 0x11, 0x20, 0x30, 0xf0, 0xff])
      toB(ends, raw(first, { version }, first.slice(IKE_HEADER_LEN)), 1)
    for (let exchange = 0; exchange < 256; exchange++) toB(ends, raw(first, { exchange, nextPayload: 0 }), 1)
    expect(ends.b.established()).toEqual([])
    unharmed(ends)
  })

  test('CVE-2015-3991: payload types that nobody knows', () => {
    const ends = two()
    const first = firstMessage(ends)
    for (let type = 0; type < 256; type++)
      for (const body of [new Uint8Array(0), new Uint8Array(40)]) {
        toB(
          ends,
          rebuilt(first, (p) => [{ type, body }, ...p]),
          150,
        )
        toB(
          ends,
          rebuilt(first, (p) => [...p, { type, body }]),
          150,
        )
      }
    unharmed(ends)
  })

  test('CVE-2015-3204: DOI and situation with bits that are not assigned', () => {
    for (const at of [0, 4])
      for (const value of [0, 2, 3, 0x100, 0x8000_0001, 0xffff_ffff]) {
        const ends = two()
        refused(ends, 0, (m) =>
          rebuilt(
            m,
            replaced(PAYLOAD.SA, (old) => {
              const body = old.slice()
              new DataView(body.buffer).setUint32(at, value)
              return body
            }),
          ),
        )
        unharmed(ends)
      }
  })

  test('CVE-2014-9221: group numbers that are private, assigned to others or to nobody', () => {
    for (const group of [0, 1, 2, 5, 22, 23, 24, 1024, 1025, 1040, 32_768, 65_535]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(withNumber(PHASE1.GROUP, group)))))
      unharmed(ends)
    }
  })

  test('CVE-2018-10811: hash algorithms that there is no PRF for', () => {
    for (const hash of [0, 1, 3, 7, 255, 65_535]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(withNumber(PHASE1.HASH, hash)))))
      unharmed(ends)
    }
  })

  test('CVE-2016-5391: transforms that lack an algorithm, proposals that lack transforms', () => {
    const { ENCRYPTION, HASH, AUTHENTICATION, GROUP, KEY_LENGTH } = PHASE1
    for (const type of [ENCRYPTION, HASH, AUTHENTICATION, GROUP, KEY_LENGTH]) {
      const ends = two()
      refused(ends, 0, (m) => rebuilt(m, replaced(PAYLOAD.SA, transforms(lacking(type)))))
      unharmed(ends)
    }
    for (const cut of [8, 16, 24]) {
      const ends = two()
      refused(ends, 0, (m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.SA, (body) => body.subarray(0, cut)),
        ),
      )
      unharmed(ends)
    }
  })

  test('CVE-2024-2357: a peer for which there is no key to take', () => {
    const ends = two({ config: { dynamicPsk: 'off' }, b: { dynamicPsk: 'hardened' } })
    const first = firstMessage(ends)
    expect(toB(ends, first, 10_000)).toEqual([])
    expect(ends.b.env.counted('ike.no-prephase')).toBe(1)
    expect(ends.b.env.counted('ike.internal')).toBe(0)
    expect(ends.b.peer.ikeSas).toEqual([])
  })

  test('CVE-2023-30570: Aggressive Mode, whatever its cookies are', () => {
    const ends = two()
    const first = firstMessage(ends)
    const cookie = new Uint8Array(8).fill(9)
    for (const responderSpi of [new Uint8Array(8), cookie])
      for (const flags of [0, 1, 7, 0xff]) {
        const aggressive = raw(
          first,
          { exchange: EXCHANGE.AGGRESSIVE, responderSpi, flags },
          first.slice(IKE_HEADER_LEN),
        )
        expect(toB(ends, aggressive)).toEqual([])
      }
    expect(ends.b.peer.ikeSas).toEqual([])
    expect(ends.b.env.counted('ike.aggressive-mode')).toBeGreaterThan(0)
    unharmed(ends)
  })

  test('CVE-2022-23094: messages of exchanges that have no state here', () => {
    const ends = two()
    const first = firstMessage(ends)
    const body = new Uint8Array(64).fill(0x5a)
    for (const exchange of [EXCHANGE.MAIN_MODE, EXCHANGE.QUICK_MODE, EXCHANGE.INFORMATIONAL_V1])
      for (const flags of [0, 1])
        for (const nextPayload of [0, 1, 4, 5, 8, 11, 12, 132])
          for (const responderSpi of [new Uint8Array(8), new Uint8Array(8).fill(7)]) {
            const lone = raw(first, { exchange, flags, nextPayload, responderSpi, messageId: 0x1234 }, body)
            expect(toB(ends, lone, 10)).toEqual([])
          }
    expect(ends.b.peer.ikeSas).toEqual([])
    unharmed(ends)
  })
})

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

describe('from a peer that has the keys', () => {
  const esp = [deletePayload(PROTOCOL.ESP, [Uint8Array.of(0, 0, 0x10, 0)])]
  const spis = (ends: IkeEnds): Uint8Array[] =>
    ends.b.env.outbound().map((s) => Uint8Array.of(s.spi >>> 24, s.spi >>> 16, s.spi >>> 8, s.spi))

  test('CVE-2019-10155: an Informational is nothing without the right hash', () => {
    const ends = established()
    const deletion = (): PayloadInit[] => [deletePayload(PROTOCOL.ESP, spis(ends))]
    for (const hash of [
      () => undefined,
      () => new Uint8Array(0),
      () => new Uint8Array(32),
      (h: Uint8Array) => h.subarray(1),
    ])
      toB(ends, sealedBy(ends.a, deletion(), { hash }))
    toB(ends, clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, deletion()))
    expect(convergence(ends)).toEqual([])
    toB(ends, sealedBy(ends.a, deletion()))
    expect(ends.b.current()).toEqual([])
    unharmed(ends)
  })

  test('CVE-2020-1763: Informationals that are cut, or whose payloads are longer than they are', () => {
    const ends = established()
    const whole = sealedBy(ends.a, esp)
    for (let n = IKE_HEADER_LEN; n < whole.length; n++) {
      const cut = whole.slice(0, n)
      new DataView(cut.buffer).setUint32(24, n)
      expect(toB(ends, cut, 1)).toEqual([])
    }
    for (let at = 0; at < 40; at++)
      for (const value of [0, 1, 3, 4, 0x7f, 0xff]) {
        const bytes = new Uint8Array(40)
        bytes[3] = 40
        bytes[at] = value
        const message = clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, [])
        toB(ends, raw(message, { nextPayload: PAYLOAD.NOTIFY }, bytes), 1)
        toB(ends, raw(message, { nextPayload: PAYLOAD.DELETE }, bytes), 1)
        toB(ends, sealedBy(ends.a, [{ type: PAYLOAD.NOTIFY, body: bytes.subarray(0, at) }]), 5)
        toB(ends, sealedBy(ends.a, [{ type: PAYLOAD.DELETE, body: bytes }]), 5)
      }
    expect(convergence(ends)).toEqual([])
    unharmed(ends)
  })

  test('CVE-2009-0790: dead peer detection for an IKE SA that there is not', () => {
    const ends = established()
    const [ci, cr] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)]
    for (const type of [NOTIFY.R_U_THERE, NOTIFY.R_U_THERE_ACK]) {
      const probe = dpdPayload(type, ci, cr, 7)
      expect(toB(ends, clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, [probe]))).toEqual([])
      expect(toB(ends, sealedBy(ends.a, [probe]))).toEqual([])
      const other = clearOf(ends.a, EXCHANGE.INFORMATIONAL_V1, [probe])
      expect(
        toB(ends, raw(other, { initiatorSpi: ci, responderSpi: cr }, other.slice(IKE_HEADER_LEN))),
      ).toEqual([])
    }
    expect(convergence(ends)).toEqual([])
    unharmed(ends)
  })

  test('CVE-2023-38710: Delete and Notify of protocols that nobody knows', () => {
    const ends = established()
    for (let protocol = 0; protocol < 256; protocol++) {
      if (protocol === PROTOCOL.ESP) continue
      const message = sealedBy(ends.a, [
        deletePayload(protocol, spis(ends)),
        notifyPayload(NOTIFY.INVALID_SPI, protocol, spis(ends)[0]!),
      ])
      toB(ends, message, 5)
    }
    expect(convergence(ends)).toEqual([])
    unharmed(ends)
  })

  test('CVE-2023-38712: Deletes and Notifies behind the Delete of the IKE SA that carries them', () => {
    const ends = established()
    const own = ikeSaOf(ends)
    const [ci, cr] = [own.subarray(0, 8), own.subarray(8)]
    const end = deletePayload(PROTOCOL.ISAKMP, [own, own])
    const note = dpdPayload(NOTIFY.R_U_THERE, ci, cr, 1)
    const message = sealedBy(ends.a, [
      note,
      end,
      ...esp,
      end,
      note,
      deletePayload(PROTOCOL.ESP, spis(ends)),
      end,
    ])
    toB(ends, message)
    toB(ends, message)
    expect(ends.b.established()).toEqual([])
    unharmed(ends)
  })

  /** Quick Mode of A's with other payloads: B has no other SA of it than before. */
  function quickModeRefused(
    ends: IkeEnds,
    change: (p: readonly PayloadInit[]) => readonly PayloadInit[],
  ): void {
    const before = ends.b.env.sas.size
    toB(ends, sealedBy(ends.a, change(quickModePayloads(ends)), { exchange: EXCHANGE.QUICK_MODE }), 20)
    expect(ends.b.env.sas.size).toBe(before)
    expect(ends.b.env.counted('ike.internal')).toBe(0)
  }
  /** The two identities of Quick Mode. */
  const ids =
    (...bodies: Uint8Array[]) =>
    (payloads: readonly PayloadInit[]): readonly PayloadInit[] => [
      ...payloads.filter((p) => p.type !== PAYLOAD.ID),
      ...bodies.map((body) => ({ type: PAYLOAD.ID, body })),
    ]
  const subnet = (net: string, mask: string): Uint8Array => Uint8Array.of(4, 0, 0, 0, ...ip(net), ...ip(mask))
  const ours = subnet('10.88.1.0', '255.255.255.0')
  const theirs = subnet('10.88.2.0', '255.255.255.0')

  test('CVE-2023-38711: Quick Mode identities of types that are no selectors, alone, or of two families', () => {
    const ends = established()
    const name = Uint8Array.of(2, 0, 0, 0, ...new TextEncoder().encode('dom0-a.example'))
    const v6 = Uint8Array.of(5, 0, 0, 0, ...ip('fd00::1'))
    const v4 = Uint8Array.of(1, 0, 0, 0, ...ip('10.88.1.1'))
    for (const pair of [
      [v4, name],
      [name, v4],
      [name, name],
      [v4, v6],
      [v6, v4],
      [v4],
      [name],
      [ours, theirs, ours],
    ])
      quickModeRefused(ends, ids(...pair))
    for (let type = 0; type < 256; type++)
      if (type !== 4)
        quickModeRefused(
          ends,
          ids(Uint8Array.of(type, ...ours.subarray(1)), Uint8Array.of(type, ...theirs.subarray(1))),
        )
    unharmed(ends)
  })

  test('CVE-2023-23009: selectors of the wrong length, that run backwards, or wider than agreed', () => {
    const ends = established()
    for (let n = 0; n < 12; n++) {
      quickModeRefused(ends, ids(ours.subarray(0, n), theirs))
      quickModeRefused(ends, ids(ours, theirs.subarray(0, n)))
    }
    const range = (from: string, to: string): Uint8Array => Uint8Array.of(7, 0, 0, 0, ...ip(from), ...ip(to))
    for (const wide of [
      subnet('0.0.0.0', '0.0.0.0'),
      subnet('10.88.0.0', '255.255.0.0'),
      subnet('10.88.1.0', '255.0.255.0'),
      subnet('10.88.1.0', '0.255.255.255'),
      range('10.88.1.9', '10.88.1.1'),
      range('0.0.0.0', '255.255.255.255'),
      Uint8Array.of(...ours, 0),
    ]) {
      quickModeRefused(ends, ids(wide, theirs))
      quickModeRefused(ends, ids(ours, wide))
    }
    unharmed(ends)
  })

  test('CVE-2024-3652: ESP and AH algorithms that nobody configured, AES-GMAC among them', () => {
    const ends = established()
    for (let id = 0; id < 256; id++)
      if (id !== 20)
        quickModeRefused(ends, (p) =>
          replaced(
            PAYLOAD.SA,
            transforms((t) => ({ ...t, id })),
          )(p),
        )
    for (const protocol of [0, 1, 2, 4, 108, 255])
      quickModeRefused(ends, (p) =>
        replaced(PAYLOAD.SA, (body) => {
          const sa = parseSa(body)
          return emitSa({ ...sa, proposals: sa.proposals.map((q) => ({ ...q, protocol })) })
        })(p),
      )
    unharmed(ends)
  })

  test('CVE-2013-6467: Quick Mode that lacks a payload', () => {
    const ends = established({
      config: { children: [childConfig({ proposals: [parseChildProposal('esp', 'aes128gcm16-x25519')] })] },
    })
    for (const type of [PAYLOAD.SA, PAYLOAD.NONCE, PAYLOAD.KE, PAYLOAD.ID])
      quickModeRefused(ends, without(type))
    unharmed(ends)
  })
})

describe('control socket', () => {
  test('CVE-2018-5388: lengths that are smaller or larger than what they count', () => {
    const good = emitPacket(PACKET.CMD_REQUEST, 'initiate', { ike: 'b', child: 'm' })
    for (let at = 4; at < good.length; at++)
      for (const value of [0, 1, 0x7f, 0xff]) {
        const packet = good.slice(4)
        packet[at - 4] = value
        try {
          parsePacket(packet)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
    for (const length of [0, 512 * 1024 + 1, 0xffff_fff0, 0xffff_ffff]) {
      const stream = good.slice()
      new DataView(stream.buffer).setUint32(0, length)
      expect(() => [...new PacketSplitter().push(stream)]).toThrow(WireError)
    }
  })
})

describe('ESP and AH', () => {
  test.each(Object.keys(SUITES))(
    'CVE-2002-0666: packets of %s that are shorter than what they must hold',
    (suite) => {
      const p = pair(saSpec(suite))
      const protocol = SUITES[suite]!.protocol === 'esp' ? 50 : 51
      for (let n = 0; n <= 64; n++) {
        const packet = new Uint8Array(20 + n)
        packet.set([0x45, 0, 0, 20 + n, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2])
        const spi = Uint8Array.of(0x0b, 0xad, 0xca, 0xfe).subarray(
          0,
          Math.max(0, n - (protocol === 51 ? 4 : 0)),
        )
        packet.set(spi, protocol === 51 ? Math.min(packet.length - spi.length, 24) : 20)
        put(p.slab, DST, packet)
        const code = p.inbound.openIpv4(DST, packet.length)
        expect(['MALFORMED_OUTER', 'UNKNOWN_SPI', 'BAD_LENGTH', 'BAD_ICV', 'TOO_OLD', 'REPLAYED']).toContain(
          verdict(code),
        )
        expect([p.in.replay.topHigh, p.in.replay.topLow]).toEqual([0, 0])
      }
    },
  )
})
