import { describe, expect, test } from 'vitest'
import { parseChildProposal } from '../../../src/ike/proposals.js'
import { deletePayload, dpdPayload, notifyPayload } from '../../../src/ike/v1/informational.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { NOTIFY, PAYLOAD, PROTOCOL } from '../../../src/wire/ike/v1/numbers.js'
import { emitSa, parseSa } from '../../../src/wire/ike/v1/sa.js'
import { ip } from '../../unit/ipsec/fixtures.js'
import {
  clearOf,
  established,
  ikeSaOf,
  quickModePayloads,
  raw,
  replaced,
  sealedBy,
  toB,
  transforms,
  unharmed,
  without,
} from '../attacker-v1.js'
import { childConfig, convergence, type IkeEnds } from '../ike-ends.js'

// One test for each class of fault that published vulnerabilities of strongSwan, libreswan, Openswan and FreeS/WAN had, as
// far as it could exist here. The numbers say where the class is from; what is done is this program's own protocol.

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
