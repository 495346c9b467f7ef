import { expect, test } from 'vitest'
import { missingCapabilities } from '../../../src/daemon/privileges.js'

const status = (effective: string): string =>
  `Name:\tnode\nCapPrm:\tffffffffffffffff\nCapEff:\t${effective}\nCapBnd:\t0\n`

test.each<[string, string, boolean, string[]]>([
  ['root', '000001ffffffffff', true, []],
  ['a user', '0000000000000000', true, ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_NET_BIND_SERVICE']],
  ['a user where low ports are free', '0000000000000000', false, ['CAP_NET_ADMIN', 'CAP_NET_RAW']],
  ['the service', '0000000000003400', true, []],
  ['NET_ADMIN alone', '0000000000001000', false, ['CAP_NET_RAW']],
  ['NET_RAW alone', '0000000000002000', true, ['CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE']],
])('%s', (_, effective, lowPorts, missing) => {
  expect(missingCapabilities(status(effective), lowPorts)).toEqual(missing)
})

test('without a line about capabilities all are missing', () => {
  expect(missingCapabilities('Name:\tnode\n', false)).toEqual(['CAP_NET_ADMIN', 'CAP_NET_RAW'])
})
