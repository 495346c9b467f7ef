import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseChildProposal, parseIkeProposal } from '../../src/ike/proposals.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import type { PayloadInit } from '../../src/wire/ike/payloads.js'
import { emitNotify } from '../../src/wire/ike/v2/notify.js'
import { PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import {
  childConfig,
  convergence,
  type IkeEnd,
  type IkeEnds,
  selector,
  type TwoIkes,
  twoIkes,
} from './ike-ends.js'
import { Insider, type Sealed } from './insider.js'

// Answers that are authentic and of no use: neither end may be left with SAs that the other does not have.

const { IKE_AUTH, INFORMATIONAL, CREATE_CHILD_SA, IKE_FOLLOWUP_KE } = EXCHANGE
const HYBRID = { proposals: [parseIkeProposal('aes128gcm16-prfsha256-x25519-ke1_mlkem768')] }

let insider: Insider
beforeEach(() => {
  insider = new Insider()
})
afterEach(() => insider.end())

function up(o: TwoIkes = {}): IkeEnds {
  const ends = twoIkes({ ...o, config: { version: 2, dynamicPsk: 'off', ...o.config } })
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(3_000)
  expect(convergence(ends)).toEqual([])
  return ends
}

/** In the first response of an exchange. */
function once(exchange: number, change: (p: readonly PayloadInit[]) => readonly PayloadInit[]) {
  let done = false
  return (m: Sealed): readonly PayloadInit[] => {
    if (m.isRequest || m.exchange !== exchange || done) return m.payloads
    done = true
    return change(m.payloads)
  }
}

const renewChild = (end: IkeEnd, { network }: IkeEnds): void =>
  end.ike.expire(network.now, {
    ...({ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' } as const),
    spi: end.current()[0]!.outboundSpi,
  })

const noPublicValue = (p: readonly PayloadInit[]): PayloadInit[] =>
  p.map((x) => (x.type === PAYLOAD.KE ? { ...x, body: x.body.slice().fill(0, 4) } : x))
const without =
  (type: number) =>
  (p: readonly PayloadInit[]): PayloadInit[] =>
    p.filter((x) => x.type !== type)
const error = (type: number): PayloadInit => ({
  type: PAYLOAD.NOTIFY,
  body: emitNotify({ protocol: 0, spi: new Uint8Array(0), type, data: new Uint8Array(0) }),
})

describe('a renewal of the IKE SA', () => {
  test.each([
    ['a public value that is none', CREATE_CHILD_SA, noPublicValue, {}],
    ['no nonce', CREATE_CHILD_SA, without(PAYLOAD.NONCE), {}],
    ['no SA', CREATE_CHILD_SA, without(PAYLOAD.SA), {}],
    ['no second KE payload', IKE_FOLLOWUP_KE, without(PAYLOAD.KE), HYBRID],
    [
      'a second KE payload that is too short',
      IKE_FOLLOWUP_KE,
      (p: readonly PayloadInit[]) => p.map((x) => ({ ...x, body: x.body.slice(0, 80) })),
      HYBRID,
    ],
  ] as const)('whose answer has %s: both ends begin anew', (_name, exchange, change, config) => {
    const ends = up({ config: { ...config, children: [childConfig({ start: 'start' })] } })
    const { network, a, b } = ends
    insider.change = once(exchange, change)
    a.ike.rekey(network.now, 'b')
    network.runFor(3_000)
    expect(convergence(ends)).toEqual([])
    expect(a.env.counted('ike.rekey-unusable')).toBe(1)
    // What the peer had made of it is not kept for long.
    network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    for (const e of [a, b]) expect(e.peer.ikeSas.length).toBe(1)
  })
})

describe('an error beside an SA means that the request has failed', () => {
  const beside = (p: readonly PayloadInit[]) => [...p, error(9_999)]

  test('in the renewal of a CHILD_SA: what the peer made is deleted, and it is asked for again', () => {
    const ends = up()
    const { network, a, b } = ends
    const before = a.current()[0]!.inboundSpi
    insider.change = once(CREATE_CHILD_SA, beside)
    renewChild(a, ends)
    network.runFor(1_000)
    expect(a.current()[0]!.inboundSpi).toBe(before)
    expect(a.peer.lastError?.message).toContain('the peer says notify 9999 beside an SA')
    expect(b.env.inbound().length).toBe(1)
    network.runFor(30_000)
    expect(convergence(ends)).toEqual([])
    expect(a.current()[0]!.inboundSpi).not.toBe(before)
  })

  test('in IKE_AUTH: the IKE SA is up, without that CHILD_SA', () => {
    const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
    const { network, a, b } = ends
    insider.change = once(IKE_AUTH, beside)
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect([a.established().length, a.env.sas.size, b.env.sas.size]).toEqual([1, 0, 0])
    expect(a.peer.lastError?.message).toContain('notify 9999')
  })

  test('in the renewal of an IKE SA', () => {
    const ends = up()
    const { network, a } = ends
    const before = a.established()[0]!.initiatorSpi
    insider.change = once(CREATE_CHILD_SA, beside)
    a.ike.rekey(network.now, 'b')
    network.runFor(200)
    expect(a.established()[0]!.initiatorSpi).toBe(before)
    expect(a.peer.lastError?.message).toContain('notify 9999')
  })
})

describe('an answer of another exchange than its request', () => {
  test('under an IKE SA it costs a counter', () => {
    const ends = up()
    const { network, a } = ends
    const before = a.current()[0]!.inboundSpi
    insider.exchange = (m) => (m.isRequest ? m.exchange : INFORMATIONAL)
    renewChild(a, ends)
    network.runFor(3_000)
    expect(a.env.counted('ike.exchange-type')).toBeGreaterThan(0)
    expect(a.current()[0]!.inboundSpi).toBe(before)
    expect(a.peer.lastError?.message ?? '').not.toContain('answers with neither')
  })

  test('to IKE_SA_INIT as well, and what follows is heard', () => {
    const ends = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
    const { network, a } = ends
    network.impairment = (d) => {
      if (d.index !== 1) return [5]
      const other = new Uint8Array(d.message)
      other[18] = IKE_AUTH
      network.inject(d.from, d.to, other)
      return [50]
    }
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    expect(a.env.counted('ike.exchange-type')).toBe(1)
    expect(convergence(ends)).toEqual([])
  })
})

test('a renewal that is refused as the first one with a key exchange of its own: both ends are told', () => {
  const esp = (text: string) => [parseChildProposal('esp', text)]
  const ends = twoIkes({
    config: {
      version: 2,
      dynamicPsk: 'off',
      children: [childConfig({ proposals: esp('aes128gcm16-x25519') })],
    },
    b: {
      children: [
        childConfig({
          proposals: esp('aes128gcm16'),
          ...{ localTs: [selector('10.88.2.0/24')], remoteTs: [selector('10.88.1.0/24')] },
        }),
      ],
    },
  })
  const { network, a, b } = ends
  a.ike.acquire(network.now, 1)
  network.runFor(1_000)
  expect(convergence(ends)).toEqual([])
  renewChild(a, ends)
  network.runFor(1_000)
  for (const e of [a, b]) {
    expect(e.peer.lastError?.message).toContain('NO_PROPOSAL_CHOSEN')
    expect(e.peer.lastError?.message).toContain('is the group, PFS, the same at both?')
  }
})
