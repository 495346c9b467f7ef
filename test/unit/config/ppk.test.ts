import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../../src/bytes/octets.js'
import { BASE, Scenario } from './scenario.js'

let s: Scenario
let key: Uint8Array
beforeAll(() => {
  s = new Scenario()
  s.key('b.key')
  key = s.key('pair.ppk')
  s.write('short.ppk', `0x${'ab'.repeat(31)}\n`)
  s.write('open.ppk', `0x${'ab'.repeat(32)}\n`, 0o644)
})
afterAll(() => s.remove())

const withPpk = (ppk: string, version = 2, prephase = 'classic'): string =>
  BASE.replace('version: 1', `version: ${version}`).replace(
    'dynamic_psk: hardened',
    `dynamic_psk: ${prephase}\n    ppk: ${ppk}`,
  )
const GOOD = '{ id: pair-1, key_file: pair.ppk }'

test('a static post-quantum preshared key: required unless said otherwise', () => {
  const peer = (text: string) => s.load(text).ike[0]!
  expect(peer(withPpk(GOOD)).ppk).toEqual({ id: utf8('pair-1'), key: Uint8Array.from(key), required: true })
  const optional = '{ id: pair-1, key_file: pair.ppk, required: false }'
  expect(peer(withPpk(optional, 2, 'classic')).ppk?.required).toBe(false)
  expect(peer(BASE.replace('version: 1', 'version: 2')).ppk).toBeUndefined()
})

describe('what is wrong with it', () => {
  test.each<[string, string, string, RegExp]>([
    ['IKEv1', withPpk(GOOD, 1), 'peers.dom0-b.ppk', /matter of IKEv2/],
    ['beside the hardened pre-phase', withPpk(GOOD, 2, 'hardened'), 'peers.dom0-b.ppk', /makes a new one/],
    ['no name', withPpk('{ key_file: pair.ppk }'), 'peers.dom0-b.ppk.id', /missing/],
    ['an empty name', withPpk('{ id: "", key_file: pair.ppk }'), 'peers.dom0-b.ppk.id', /1 to 64/],
    ['no file', withPpk('{ id: p, key_file: none.ppk }'), 'peers.dom0-b.ppk.key_file', /does not exist/],
    [
      'a short key',
      withPpk('{ id: p, key_file: short.ppk }'),
      'peers.dom0-b.ppk.key_file',
      /31 octets; expected at least 32/,
    ],
    [
      'a file that others read',
      withPpk('{ id: p, key_file: open.ppk }'),
      'peers.dom0-b.ppk.key_file',
      /chmod 600/,
    ],
    ['another word', withPpk('{ id: p, key_file: pair.ppk, needed: true }'), 'peers.dom0-b.ppk.needed', /./],
  ])('%s', (_, text, at, message) => {
    const problems = s.problems(text)
    expect(problems.map((p) => p.key)).toContain(at)
    expect(problems.find((p) => p.key === at)!.message).toMatch(message)
    expect(JSON.stringify(problems)).not.toMatch(/abab/)
  })
})
