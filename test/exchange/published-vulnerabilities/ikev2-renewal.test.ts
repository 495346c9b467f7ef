import { afterEach, describe, expect, test } from 'vitest'
import { fromHex } from '../../../src/bytes/octets.js'
import { parseIkeProposal } from '../../../src/ike/proposals.js'
import { EXCHANGE } from '../../../src/wire/ike/header.js'
import { emitNotify, parseNotify } from '../../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD, TRANSFORM } from '../../../src/wire/ike/v2/numbers.js'
import { emitSa, type Proposal, parseSa } from '../../../src/wire/ike/v2/sa.js'
import { replaced, unharmed, without } from '../attacker-v1.js'
import { type Change, established, honest, insider, transforms } from '../attacker-v2.js'
import type { IkeEnds } from '../ike-ends.js'

// A renewal of the IKE SA by a peer that has the keys, in either role, and the second key exchange of it: what the first
// exchanges refuse, it refuses as well.

afterEach(honest)

const { CREATE_CHILD_SA, IKE_FOLLOWUP_KE } = EXCHANGE
const HYBRID = 'aes128gcm16-prfsha256-x25519-ke1_mlkem768'
const withHybrid = (): IkeEnds => established({ config: { proposals: [parseIkeProposal(HYBRID)] } })

/** One of A's messages of a renewal, or B's, is changed: the other end has no other IKE SA than before. */
function refused(exchange: number, response: boolean, change: Change, ends: IkeEnds): void {
  const victim = response ? ends.a : ends.b
  const spis = () => victim.established().map((s) => s.initiatorSpi)
  const before = spis()
  let changed = 0
  insider({ exchange, response, fromResponder: response }, (p) => {
    changed++
    return change(p)
  })
  ends.a.ike.rekey(ends.network.now, 'b')
  ends.network.runFor(300)
  expect(changed).toBeGreaterThan(0)
  expect(spis().filter((spi) => !before.includes(spi))).toEqual([])
  expect(victim.env.counted('ike.internal')).toBe(0)
  honest()
  unharmed(ends)
}

const ke = (change: (value: Uint8Array) => Uint8Array): Change =>
  replaced(PAYLOAD.KE, (b) => Uint8Array.of(...b.subarray(0, 4), ...change(b.subarray(4))))
const proposal = (change: (p: Proposal) => Proposal): Change =>
  replaced(PAYLOAD.SA, (b) => emitSa(parseSa(b).map(change)))
const algorithm = (type: number, id: number | undefined): Change =>
  replaced(
    PAYLOAD.SA,
    transforms((t) => (t.type !== type ? t : id === undefined ? undefined : { ...t, id })),
  )

const WRONG: [string, Change][] = [
  ['no SA', without(PAYLOAD.SA)],
  ['no nonce', without(PAYLOAD.NONCE)],
  ['no KE', without(PAYLOAD.KE)],
  ['nothing', () => []],
  ['a nonce of 15 octets', replaced(PAYLOAD.NONCE, (b) => b.subarray(0, 15))],
  ['a nonce of 257 octets', replaced(PAYLOAD.NONCE, () => new Uint8Array(257))],
  ['a public value of zeros', ke((v) => new Uint8Array(v.length))],
  ['a public value of order one', ke((v) => Uint8Array.of(1, ...new Uint8Array(v.length - 1)))],
  ['a public value that is too short', ke((v) => v.subarray(1))],
  ['a public value that is too long', ke((v) => Uint8Array.of(...v, 0))],
  ['no public value', ke(() => new Uint8Array(0))],
  ['another group', replaced(PAYLOAD.KE, (b) => Uint8Array.of(0, 2, ...b.subarray(2)))],
  ['an SPI of zeros', proposal((p) => ({ ...p, spi: new Uint8Array(8) }))],
  ['an SPI of four octets', proposal((p) => ({ ...p, spi: p.spi.subarray(4) }))],
  ['no SPI', proposal((p) => ({ ...p, spi: new Uint8Array(0) }))],
  ['the protocol of an SA of ESP', proposal((p) => ({ ...p, protocol: 3 }))],
  ...(['ENCR', 'PRF', 'INTEG', 'KE'] as const).flatMap((name): [string, Change][] => [
    [`no ${name} transform`, algorithm(TRANSFORM[name], undefined)],
    [`an unknown ${name} transform`, algorithm(TRANSFORM[name], 1_024)],
    [`NULL for ${name}`, algorithm(TRANSFORM[name], name === 'ENCR' ? 11 : 0)],
  ]),
]

describe.each([
  ['asks', false],
  ['answers', true],
])('CVE-2009-1958, CVE-2008-4551, CVE-2018-10811: the peer %s with', (_, response) => {
  test.each(WRONG)('%s', (_name, change) => {
    refused(CREATE_CHILD_SA, response, change, established())
  })

  const link = (change: (data: Uint8Array) => Uint8Array): Change =>
    replaced(PAYLOAD.NOTIFY, (b) => {
      const n = parseNotify(b)
      return n.type === NOTIFY.ADDITIONAL_KEY_EXCHANGE ? emitNotify({ ...n, data: change(n.data) }) : b
    })
  test.each<[string, Change]>([
    ['no KE', without(PAYLOAD.KE)],
    ['nothing', () => []],
    ['a public value that is cut', ke((v) => v.subarray(1))],
    ['a public value that is too long', ke((v) => Uint8Array.of(...v, 0))],
    ['no public value', ke(() => new Uint8Array(0))],
    ['another method', replaced(PAYLOAD.KE, (b) => Uint8Array.of(0, 31, ...b.subarray(2)))],
    ...(response
      ? []
      : ([
          ['no link', without(PAYLOAD.NOTIFY)],
          ['a link of no length', link(() => new Uint8Array(0))],
          ['a link of somebody else', link((d) => d.map((x) => x ^ 1))],
        ] satisfies [string, Change][])),
  ])('IKE_FOLLOWUP_KE with %s', (_name, change) => {
    refused(IKE_FOLLOWUP_KE, response, change, withHybrid())
  })
})

test('a renewal with a second key exchange whose answer has no link goes nowhere', () => {
  refused(CREATE_CHILD_SA, true, without(PAYLOAD.NOTIFY), withHybrid())
})

test("the peer asks with the SPI of the IKE SA that there is, its own or the other end's", () => {
  for (const which of ['initiatorSpi', 'responderSpi'] as const) {
    const ends = established()
    const spi = fromHex(ends.b.established()[0]![which]!)
    insider(
      CREATE_CHILD_SA,
      proposal((p) => ({ ...p, spi })),
    )
    ends.a.ike.rekey(ends.network.now, 'b')
    ends.network.runFor(300)
    expect(ends.b.env.counted('ike.internal')).toBe(0)
    expect(ends.b.peer.ikeSas.length).toBeLessThanOrEqual(2)
    honest()
    unharmed(ends)
  }
})
