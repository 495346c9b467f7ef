import { expect, test } from 'vitest'
import { formatIdentity, ID, parseIdentity } from '../../../src/ike/identity.js'

test.each<[text: string, type: number, shown?: string]>([
  ['dom0-a.example', ID.FQDN],
  ['@dom0-a.example', ID.FQDN, 'dom0-a.example'],
  ['@10.0.0.1', ID.FQDN],
  ['@2001:db8::1', ID.FQDN],
  ['@user@example.org', ID.FQDN],
  ['@@@@', ID.FQDN],
  ['@keyid:00', ID.FQDN],
  ['user@example.org', ID.USER_FQDN],
  ['10.0.0.1', ID.IPV4_ADDR],
  ['keyid:00ff', ID.KEY_ID],
])('%s is told apart from what looks like it', (text, type, shown = text) => {
  const id = parseIdentity(text)!
  expect(id.type).toBe(type)
  expect(formatIdentity(id)).toBe(shown)
  expect(parseIdentity(formatIdentity(id))).toEqual(id)
})
