import { afterEach, describe, expect, test } from 'vitest'
import { Sealer } from '../../../src/ike/v2/protection.js'
import { EXCHANGE, IKE_HEADER_LEN } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { emitNotify, parseNotify } from '../../../src/wire/ike/v2/notify.js'
import { FLAG, NOTIFY, PAYLOAD, PROTOCOL, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, parseSa, type Transform } from '../../../src/wire/ike/v2/sa.js'
import { alter, firstMessage, raw, rebuilt, replaced, toB, two, unharmed, without } from '../attacker-v1.js'
import { convergence, type IkeEnds } from '../ike-ends.js'

// As in the other files here, for IKEv2.

const ikeV2 = (): IkeEnds => two({ config: { version: 2 } })

type Change = (payloads: readonly PayloadInit[]) => readonly PayloadInit[]
const honestSeal = Sealer.prototype.seal
afterEach(() => {
  Sealer.prototype.seal = honestSeal
})

/** From now on the payloads of A's requests of an exchange are changed before they are sealed. A begins every IKE SA here. */
function insider(exchange: number, change: Change): void {
  Sealer.prototype.seal = function (this: Sealer, header, payloads) {
    const own = (header.flags & FLAG.INITIATOR) !== 0 && (header.flags & FLAG.RESPONSE) === 0
    return honestSeal.call(this, header, own && header.exchange === exchange ? change(payloads) : payloads)
  }
}

function established(): IkeEnds {
  const ends = ikeV2()
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(500)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** A begins, and B has nothing of it. */
function refused(ends: IkeEnds): void {
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(900)
  expect(ends.b.env.sas.size).toBe(0)
  expect(ends.b.env.counted('ike.internal')).toBe(0)
}

const refusedWhenAltered = (change: (m: Uint8Array) => Uint8Array): void => {
  const ends = ikeV2()
  alter(ends, 0, change)
  refused(ends)
  unharmed(ends)
}

const refusedFromInsider = (change: Change): void => {
  const ends = ikeV2()
  insider(EXCHANGE.IKE_AUTH, change)
  refused(ends)
  Sealer.prototype.seal = honestSeal
  unharmed(ends)
}

const transforms =
  (change: (t: Transform) => Transform | undefined) =>
  (body: Uint8Array): Uint8Array =>
    emitSa(
      parseSa(body).map((p) => ({
        ...p,
        transforms: p.transforms.map(change).filter((t) => t !== undefined),
      })),
    )

/** A rekey of the CHILD_SA with other payloads: B has nothing new of it. */
function rekeyRefused(change: Change): void {
  const ends = rekeyed(change)
  // What is no syntax ends the IKE SA with all it has (RFC 7296 section 2.21.3).
  expect(ends.b.env.inbound().length).toBeLessThanOrEqual(1)
  unharmed(ends)
}

function rekeyed(change: Change): IkeEnds {
  const ends = established()
  const { a, b, network } = ends
  const { spi } = a.env.outbound()[0]!
  insider(EXCHANGE.CREATE_CHILD_SA, change)
  a.ike.expire(network.now, {
    direction: 'outbound',
    protocol: 'esp',
    spi,
    policy: 1,
    limit: 'soft',
    cause: 'asked',
  })
  network.runFor(100)
  expect(b.env.counted('ike.internal')).toBe(0)
  Sealer.prototype.seal = honestSeal
  return ends
}

test('the insider changes nothing when it is told to change nothing', () => {
  insider(EXCHANGE.IKE_AUTH, (p) => p.map((x) => ({ ...x })))
  const ends = established()
  insider(EXCHANGE.CREATE_CHILD_SA, (p) => p.map((x) => ({ ...x })))
  const { spi } = ends.a.env.outbound()[0]!
  ends.a.ike.expire(ends.network.now, {
    direction: 'outbound',
    protocol: 'esp',
    spi,
    policy: 1,
    limit: 'soft',
    cause: 'asked',
  })
  ends.network.runFor(100)
  expect(ends.b.env.saEvents.filter((e) => 'add' in e && e.add.direction === 'inbound').length).toBe(2)
})

describe('IKE_SA_INIT', () => {
  test('CVE-2023-41913: public values of every length but the right one', () => {
    for (const length of [4, 5, 35, 37, 68, 4_096])
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.KE, (old) =>
            Uint8Array.of(...old.subarray(0, 4), ...new Uint8Array(length - 4).fill(9)),
          ),
        ),
      )
  })

  test('CVE-2014-9221: group numbers that are private, or that the proposal does not have', () => {
    for (const group of [0, 1, 2, 5, 22, 1024, 1025, 1040, 65_535]) {
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(PAYLOAD.KE, (old) => Uint8Array.of(group >>> 8, group & 0xff, ...old.subarray(2))),
        ),
      )
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(
            PAYLOAD.SA,
            transforms((t) => (t.type === TRANSFORM.KE ? { ...t, id: group } : t)),
          ),
        ),
      )
    }
  })

  test('CVE-2016-3071, CVE-2016-5391, CVE-2018-10811: algorithms that are not there, and proposals without one', () => {
    for (const type of [TRANSFORM.ENCR, TRANSFORM.PRF, TRANSFORM.INTEG, TRANSFORM.KE]) {
      refusedWhenAltered((m) =>
        rebuilt(
          m,
          replaced(
            PAYLOAD.SA,
            transforms((t) => (t.type === type ? undefined : t)),
          ),
        ),
      )
      for (const id of [1, 6, 255, 1_024, 65_535])
        refusedWhenAltered((m) =>
          rebuilt(
            m,
            replaced(
              PAYLOAD.SA,
              transforms((t) => (t.type === type ? { ...t, id } : t)),
            ),
          ),
        )
    }
  })

  test('CVE-2013-6467, CVE-2013-7294: messages that lack a payload', () => {
    for (const type of [PAYLOAD.SA, PAYLOAD.KE, PAYLOAD.NONCE])
      refusedWhenAltered((m) => rebuilt(m, without(type)))
    refusedWhenAltered((m) => rebuilt(m, (p) => p.filter((x) => x.type === PAYLOAD.NOTIFY)))
    refusedWhenAltered((m) => rebuilt(m, () => []))
  })

  test('CVE-2015-3991: payload types that nobody knows, critical ones among them', () => {
    const ends = ikeV2()
    const first = firstMessage(ends)
    for (let type = 0; type < 256; type++)
      for (const critical of [false, true])
        toB(
          ends,
          rebuilt(first, (p) => [{ type, critical, body: new Uint8Array(8) }, ...p]),
          60,
        )
    unharmed(ends)
  })
})

describe('before authentication', () => {
  test('CVE-2019-12312, CVE-2014-2338: other exchanges in the place of IKE_AUTH', () => {
    for (const exchange of [EXCHANGE.INFORMATIONAL, EXCHANGE.CREATE_CHILD_SA, EXCHANGE.IKE_SA_INIT, 255]) {
      const ends = ikeV2()
      alter(ends, 1, (m) => raw(m, { exchange }, m.slice(IKE_HEADER_LEN)))
      ends.a.ike.acquire(ends.network.now, 1)
      ends.network.runFor(500)
      expect(ends.b.established()).toEqual([])
      expect(ends.b.env.sas.size).toBe(0)
      // The first exchange is none the worse for it: the true request, sent again, is answered.
      expect(ends.network.runUntil(() => convergence(ends).length === 0, 10_000)).toBe(true)
      unharmed(ends)
    }
  })

  test('CVE-2013-6467: IKE_AUTH that lacks a payload', () => {
    for (const type of [PAYLOAD.ID_I, PAYLOAD.AUTH]) refusedFromInsider(without(type))
    refusedFromInsider(() => [])
  })

  test('CVE-2013-2944: an empty, a zero, a cut or a longer AUTH, or one of another method', () => {
    for (const change of [
      (b: Uint8Array) => b.subarray(0, 4),
      (b: Uint8Array) => Uint8Array.of(...b.subarray(0, 4), ...new Uint8Array(b.length - 4)),
      (b: Uint8Array) => b.subarray(0, b.length - 1),
      (b: Uint8Array) => Uint8Array.of(...b, 0),
      (b: Uint8Array) => Uint8Array.of(1, ...b.subarray(1)),
      (b: Uint8Array) => Uint8Array.of(13, ...b.subarray(1)),
    ])
      refusedFromInsider(replaced(PAYLOAD.AUTH, change))
  })

  test('CVE-2013-6075: an identity that only looks like the peer', () => {
    for (const change of [
      (b: Uint8Array) => b.subarray(0, b.length - 4),
      (b: Uint8Array) => Uint8Array.of(...b, 0),
      (b: Uint8Array) => Uint8Array.of(9, ...b.subarray(1)),
      (b: Uint8Array) => b.subarray(0, 4),
      (b: Uint8Array) => b.subarray(0, 1),
    ])
      refusedFromInsider(replaced(PAYLOAD.ID_I, change))
  })
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
})
