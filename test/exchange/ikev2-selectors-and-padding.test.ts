import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { notify } from '../../src/ike/v2/payload-set.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { PAYLOAD } from '../../src/wire/ike/v2/numbers.js'
import { childConfig, convergence, type IkeEnd, type IkeEnds, type TwoIkes, twoIkes } from './ike-ends.js'
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
