import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { notify } from '../../src/ike/v2/payload-set.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { parseNotify } from '../../src/wire/ike/v2/notify.js'
import { NOTIFY, PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import {
  childConfig,
  convergence,
  type IkeEnd,
  type IkeEnds,
  ikePeer,
  selector,
  type TwoIkes,
  twoIkes,
} from './ike-ends.js'
import { Insider } from './insider.js'

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

const renew = (end: IkeEnd, { network }: IkeEnds): void => {
  end.ike.expire(network.now, {
    ...({ direction: 'outbound', protocol: 'esp', policy: 1, limit: 'soft', cause: 'asked' } as const),
    spi: end.current()[0]!.outboundSpi,
  })
  network.runFor(1_000)
}

describe('ESP_TFC_PADDING_NOT_SUPPORTED', () => {
  const padded = { children: [childConfig({ pads: true })] }
  const warned = (e: IkeEnd) => e.env.lines.filter((l) => l.level === 'warn' && /tfc_padding/.test(l.message))
  const tfc = (e: IkeEnd) => e.env.newestOutbound(1)!.tfc

  test.each(['initiator', 'responder'] as const)(
    'from the %s: the other end pads nothing, and says so once',
    (role) => {
      insider.change = (m) =>
        m.payloads.some((p) => p.type === PAYLOAD.SA) && (role === 'initiator') === m.isRequest
          ? [...m.payloads, notify('ESP_TFC_PADDING_NOT_SUPPORTED')]
          : m.payloads
      const ends = up({ config: padded })
      const { a, b } = ends
      const [who, other] = role === 'initiator' ? [a, b] : [b, a]
      expect([tfc(who), tfc(other)]).toEqual([undefined, false])
      expect(other.env.inbound()[0]!.tfc).toBeUndefined()
      renew(a, ends)
      expect(insider.sealed.some((m) => m.exchange === EXCHANGE.CREATE_CHILD_SA)).toBe(true)
      expect([tfc(who), tfc(other)]).toEqual([undefined, false])
      expect([warned(who).length, warned(other).length]).toEqual([0, 1])
    },
  )

  test('is of no concern where nothing would be padded', () => {
    insider.change = (m) => [...m.payloads, notify('ESP_TFC_PADDING_NOT_SUPPORTED')]
    const { a, b } = up()
    for (const e of [a, b]) expect([tfc(e), warned(e).length]).toEqual([false, 0])
  })
})

describe('two CHILD_SAs that lie within one child of the other end', () => {
  /** a has one child for what b has two for. */
  function halves(start: 'start' | 'trap' = 'start'): IkeEnds {
    const remoteTs = [selector('10.88.2.0/24')]
    const config = ikePeer({ version: 2, dynamicPsk: 'off', children: [childConfig({ remoteTs })] })
    const children = [0, 128].map((x, i) =>
      childConfig({
        ...{ name: `half${i}`, policy: i + 1, start },
        localTs: [selector(`10.88.2.${x}/25`)],
        remoteTs: [selector('10.88.1.0/24')],
      }),
    )
    return twoIkes({ config, b: { children } })
  }

  test('the second is refused with the reason, and the first stays', () => {
    const { network, a, b } = halves()
    network.runFor(20_000)
    const first = a.current()[0]!.inboundSpi
    expect(a.env.counted('ike.no-additional-sas')).toBeGreaterThan(0)
    expect(a.env.logged('configure one child for each pair of selectors')).toBe(true)
    expect(b.peer.lastError?.message).toMatch(
      /child half1: .*NO_ADDITIONAL_SAS.*one child has to be configured/,
    )
    const before = network.sent.length
    network.runFor(120_000)
    expect(a.current()[0]!.inboundSpi).toBe(first)
    expect([a.current().length, b.current().length]).toEqual([1, 1])
    // One question and its answer each time that b tries again.
    expect(network.sent.length - before).toBeLessThanOrEqual(2 * 13)
  })

  test('the end whose child was narrowed is told once what has no SA', () => {
    const ends = halves('trap')
    const { network, a } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(1_000)
    renew(a, ends)
    renew(a, ends)
    const warned = a.env.lines.filter((l) => /narrowed the traffic selectors/.test(l.message))
    expect(warned.map((l) => [l.level, l.fields])).toEqual([
      [
        'warn',
        {
          ...{ peer: 'b', child: 'migration' },
          uncovered: 'all or part of remote 10.88.2.0/24',
          agreed: '10.88.1.0/24 === 10.88.2.0/25',
        },
      ],
    ])
  })

  test('one that carries all that the first did takes its place', () => {
    const ends = up()
    const { network, b } = ends
    const first = b.current()[0]!.inboundSpi
    // b has lost sight of its own, and asks for the same without naming it.
    insider.change = (m) =>
      m.payloads.filter((p) => p.type !== PAYLOAD.NOTIFY || parseNotify(p.body).type !== NOTIFY.REKEY_SA)
    renew(b, ends)
    network.runFor(60_000)
    expect(convergence(ends)).toEqual([])
    expect(b.current()[0]!.inboundSpi).not.toBe(first)
  })
})

test('SINGLE_PAIR_REQUIRED is explained', () => {
  const { network, a } = twoIkes({ config: { version: 2, dynamicPsk: 'off' } })
  const child: readonly number[] = [PAYLOAD.SA, PAYLOAD.TS_I, PAYLOAD.TS_R]
  insider.change = (m) =>
    m.isRequest
      ? m.payloads
      : [...m.payloads.filter((p) => !child.includes(p.type)), notify('SINGLE_PAIR_REQUIRED')]
  a.ike.acquire(network.now, 1)
  network.runFor(500)
  expect(a.peer.lastError?.message).toContain('configure one child for each pair')
})
