import { expect, test } from 'vitest'
import { oneWayTrouble } from '../../../src/daemon/one-way.js'
import type { ChildView, SaView } from '../../../src/daemon/status.js'

const sa = (direction: SaView['direction'], packets: number, more: Partial<SaView> = {}): SaView =>
  ({ direction, packets, ageSeconds: 30, encapsulation: 'raw', ...more }) as SaView
const child = (sas: readonly SaView[], protocol = 'esp'): ChildView =>
  ({ name: 'migration', protocol, sas }) as unknown as ChildView

test('packets that go out while none comes in', () => {
  expect(oneWayTrouble(child([sa('inbound', 0), sa('outbound', 12)]))).toEqual({
    message:
      'child migration: 12 packets went out and none has come in: IP protocol 50 (ESP) is filtered on the way (encapsulation: udp passes most firewalls), or nothing answers there',
    ageSeconds: 30,
  })
  expect(oneWayTrouble(child([sa('outbound', 12)], 'ah'))?.message).toContain('IP protocol 51 (AH)')
  const udp = { encapsulation: 'udp' } as const
  expect(oneWayTrouble(child([sa('outbound', 12, udp)]))?.message).toContain('UDP port 4500')
})

test.each([
  ['something came in', [sa('inbound', 1), sa('outbound', 1000)]],
  ['something came in before a renewal', [sa('inbound', 7), sa('inbound', 0), sa('outbound', 20)]],
  ['too early', [sa('inbound', 0, { ageSeconds: 3 }), sa('outbound', 20, { ageSeconds: 3 })]],
  ['nothing to answer', [sa('inbound', 0), sa('outbound', 3)]],
  ['no SA', []],
] as const)('no trouble: %s', (_, sas) => expect(oneWayTrouble(child(sas))).toBeUndefined())
