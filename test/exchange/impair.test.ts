import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Rule } from '../lab/impair/rules.js'
import { parseRules } from '../lab/impair/rules.js'
import { ROOT } from '../lab/root.js'
import { convergence } from './ike-ends.js'
import { type ImpairedEnds, impairedEnds } from './impaired-ends.js'

// One end does something wrong, on purpose and for a while. The healthy one says what is wrong, keeps nothing of it, and when the
// other end behaves again, both are up.

const WHOLE = ['omit', 'double', 'corrupt', 'reorder', 'delay'] as const
const IN_PART = ['omit', 'double', 'corrupt', 'reorder'] as const

/** The messages that A sends, or B, and what is in them; without payloads they are impaired as a whole. */
const MESSAGES: Readonly<Record<1 | 2, readonly (readonly ['a' | 'b', string, readonly string[]])[]>> = {
  1: [
    ['a', 'pre-phase 1', ['VID', 'ID', 'Nonce', 'HASH']],
    ['b', 'pre-phase 2', ['VID', 'ID', 'Nonce', 'HASH']],
    ['a', 'pre-phase 3', ['HASH']],
    ['b', 'pre-phase 4', ['HASH']],
    ['a', 'Main Mode 1', ['SA', 'VID']],
    ['b', 'Main Mode 2', ['SA', 'VID']],
    ['a', 'Main Mode 3', ['KE', 'Nonce', 'NAT-D']],
    ['b', 'Main Mode 4', ['KE', 'Nonce', 'NAT-D']],
    ['a', 'Main Mode 5', []],
    ['b', 'Main Mode 6', []],
    ['a', 'Quick Mode 1', ['SA', 'Nonce', 'ID']],
    ['b', 'Quick Mode 2', []],
    ['a', 'Quick Mode 3', []],
    ['a', 'Informational', ['D']],
  ],
  2: [
    ['a', 'pre-phase 1', ['VID', 'ID', 'Nonce', 'HASH']],
    ['b', 'pre-phase 2', ['VID', 'ID', 'Nonce', 'HASH']],
    ['a', 'pre-phase 3', ['HASH']],
    ['b', 'pre-phase 4', ['HASH']],
    ['a', 'IKE_SA_INIT request', ['SA', 'KE', 'Nonce', 'N(NAT_DETECTION_SOURCE_IP)']],
    ['b', 'IKE_SA_INIT response', ['SA', 'KE', 'Nonce', 'N(NAT_DETECTION_SOURCE_IP)']],
    ['a', 'IKE_AUTH request', ['IDi', 'IDr', 'AUTH', 'SA', 'TSi', 'TSr', 'N(INITIAL_CONTACT)']],
    ['b', 'IKE_AUTH response', ['IDr', 'AUTH', 'SA', 'TSi', 'TSr']],
    ['a', 'CREATE_CHILD_SA request', ['N(REKEY_SA)', 'SA', 'Nonce', 'TSi', 'TSr']],
    ['b', 'CREATE_CHILD_SA response', ['SA', 'Nonce', 'TSi', 'TSr']],
    ['a', 'INFORMATIONAL request', ['D']],
    ['b', 'INFORMATIONAL response', ['D']],
  ],
}

/** Contact, a renewed child, a renewed IKE SA: each end has said everything once. */
function live({ network, a }: ImpairedEnds): void {
  a.ike.acquire(network.now, 1)
  network.runFor(8_000)
  const child = a.current()[0]
  if (child !== undefined) {
    const sa = { direction: 'outbound', protocol: 'esp', spi: child.outboundSpi, policy: 1 } as const
    a.ike.expire(network.now, { ...sa, limit: 'soft', cause: 'asked' })
  }
  network.runFor(8_000)
  a.ike.rekey(network.now, 'b')
  network.runFor(50_000)
}

describe.each([1, 2] as const)('IKEv%i: a healthy end is not harmed by', (version) => {
  test.each(MESSAGES[version])('%s’s %s', (side, message, payloads) => {
    const rules: Rule[] = [
      ...WHOLE.map((what) => ({ message, do: what, ...(what === 'delay' && { ms: 3_000 }) })),
      ...payloads.flatMap((payload) => IN_PART.map((what) => ({ message, payload, do: what }))),
    ]
    for (const rule of rules) {
      const config = {
        version,
        dpdDelaySeconds: 10,
        dynamicPsk: message.startsWith('pre') ? 'hardened' : 'off',
      } as const
      const ends = impairedEnds(side, [rule], { config })
      const { network, a, b, healthy, impairer } = ends
      live(ends)
      const what = `${rule.do} ${rule.payload ?? 'all'}`
      expect([what, impairer.done.length > 0]).toEqual([what, true])
      for (const e of [a, b]) {
        expect([what, e.env.counted('ike.internal'), e.env.counted('prephase.internal')]).toEqual([
          what,
          0,
          0,
        ])
        expect(e.env.sas.size).toBeLessThanOrEqual(16)
      }
      expect(healthy.peer.ikeSas.length).toBeLessThanOrEqual(17)
      // It behaves again, and traffic asks as it does.
      impairer.rules = []
      const up = (): boolean => convergence(ends).length === 0
      for (let i = 0; i < 150 && !up(); i++) {
        for (const e of [a, b]) if (e.env.newestOutbound(1) === undefined) e.ike.acquire(network.now, 1)
        network.runFor(1_000)
      }
      // Keys that differ below a right IKE SA are nobody's to notice but the data path's.
      const unnoticed = rule.payload === 'Nonce' && rule.do === 'corrupt'
      const wrong = convergence(ends).filter((w) => !(unnoticed && w.includes('encryption differs')))
      expect([what, ...wrong]).toEqual([what])
    }
  })
})

/** What the healthy end says of it, and the impaired one as it is told. */
const TOLD: readonly (readonly [Rule, string | RegExp, string | RegExp | undefined])[] = [
  [
    { message: 'IKE_AUTH request', payload: 'TSi', do: 'omit' },
    /INVALID_SYNTAX: payload TSi.* is missing/,
    'child migration: the peer says INVALID_SYNTAX',
  ],
  [
    { message: 'IKE_AUTH request', payload: 'IDi', do: 'omit' },
    /IKE_AUTH is malformed: payload IDi/,
    'the peer says INVALID_SYNTAX',
  ],
  [
    { message: 'IKE_AUTH request', payload: 'SA', do: 'double' },
    /IKE_AUTH is malformed: payload SA/,
    'the peer says INVALID_SYNTAX',
  ],
  [
    { message: 'IKE_AUTH request', payload: 'AUTH', do: 'corrupt' },
    'AUTH does not verify',
    /AUTHENTICATION_FAILED/,
  ],
  [{ message: 'IKE_AUTH request', payload: 'AUTH', do: 'omit' }, 'EAP', /AUTHENTICATION_FAILED/],
  [
    { message: 'IKE_AUTH request', payload: 'IDr', do: 'corrupt' },
    'asks for dom0-b.exampl',
    /AUTHENTICATION_FAILED/,
  ],
  [
    { message: 'IKE_SA_INIT request', payload: 'N(NAT_DETECTION_SOURCE_IP)', do: 'omit' },
    'AUTH does not verify',
    /AUTHENTICATION_FAILED/,
  ],
  [
    { message: 'IKE_SA_INIT request', payload: 'SA', do: 'corrupt' },
    'NO_PROPOSAL_CHOSEN: group: ours x25519',
    /seems to say NO_PROPOSAL_CHOSEN/,
  ],
  [
    { message: 'IKE_AUTH response', payload: 'AUTH', do: 'omit' },
    /the answer to IKE_AUTH is malformed: payload AUTH.* is missing/,
    'the peer says INVALID_SYNTAX: it cannot read what we have sent',
  ],
  [
    { message: 'IKE_AUTH response', payload: 'IDr', do: 'corrupt' },
    'its identity is dom0-b.exampl',
    /AUTHENTICATION_FAILED/,
  ],
  [
    { message: 'IKE_AUTH response', payload: 'SA', do: 'omit' },
    'the peer answers with neither an SA nor a reason',
    undefined,
  ],
  [{ message: 'IKE_AUTH response', do: 'omit' }, /no answer to IKE_AUTH/, undefined],
  [{ message: 'IKE_SA_INIT response', do: 'omit' }, /no answer to IKE_SA_INIT/, undefined],
]

test.each(TOLD)('%j', (rule, healthySays, impairedSays) => {
  const side = rule.message.endsWith('request') ? 'a' : 'b'
  const ends = impairedEnds(side, [rule], { config: { version: 2, dynamicPsk: 'off' } })
  ends.a.ike.acquire(ends.network.now, 1)
  ends.network.runFor(40_000)
  expect(ends.healthy.peer.lastError?.message).toMatch(healthySays)
  if (impairedSays !== undefined) expect(ends.impaired.peer.lastError?.message).toMatch(impairedSays)
  // The healthy end keeps no CHILD_SA that the other has not.
  expect(ends.healthy.env.sas.size).toBe(0)
})

test('what cannot be read, request or response, ends the IKE SA at both ends', () => {
  for (const [side, message] of [
    ['a', 'CREATE_CHILD_SA request'],
    ['b', 'CREATE_CHILD_SA response'],
  ] as const) {
    const ends = impairedEnds(side, [], { config: { version: 2, dynamicPsk: 'off' } })
    const { network, a, b, healthy, impairer } = ends
    a.ike.acquire(network.now, 1)
    network.runFor(3_000)
    impairer.rules = [{ message, payload: 'SA', do: 'double' }]
    const sa = {
      direction: 'outbound',
      protocol: 'esp',
      spi: a.current()[0]!.outboundSpi,
      policy: 1,
    } as const
    a.ike.expire(network.now, { ...sa, limit: 'soft', cause: 'asked' })
    network.runFor(8_000)
    const says = /the peer's message is malformed: payload SA/
    expect(healthy.env.lines.some((l) => says.test(l.message))).toBe(true)
    network.runFor(12_000)
    for (const e of [a, b]) expect([e.peer.ikeSas.length, e.env.sas.size]).toEqual([0, 0])
  }
})

test('a renewal whose answer makes no sense leaves the old CHILD_SA in use', () => {
  const ends = impairedEnds('b', [], { config: { version: 2, dynamicPsk: 'off' } })
  const { network, a, impairer } = ends
  a.ike.acquire(network.now, 1)
  network.runFor(3_000)
  const old = a.current()[0]!
  impairer.rules = [{ message: 'CREATE_CHILD_SA response', payload: 'TSi', do: 'omit', times: 1 }]
  const sa = { direction: 'outbound', protocol: 'esp', spi: old.outboundSpi, policy: 1 } as const
  a.ike.expire(network.now, { ...sa, limit: 'soft', cause: 'asked' })
  network.runFor(5_000)
  expect(convergence(ends)).toEqual([])
  expect(a.current()[0]!.inboundSpi).toBe(old.inboundSpi)
  network.runFor(60_000)
  expect(convergence(ends)).toEqual([])
  expect(a.current()[0]!.inboundSpi).not.toBe(old.inboundSpi)
})

test('rules are checked', () => {
  expect(() => parseRules('{}')).toThrow('expected a list')
  expect(() => parseRules('[{"do":"omit"}]')).toThrow('rule 0: which message?')
  expect(() => parseRules('[{"message":"IKE_AUTH request","do":"eat"}]')).toThrow('one of omit')
  expect(() => parseRules('[{"message":"IKE_AUTH request","do":"delay"}]')).toThrow('takes ms')
})

test('nothing of it is in what is published', () => {
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  for (const folder of files) expect(folder).not.toMatch(/^(dist\/?$|dist\/test|test)/)
  for (const folder of ['src', ...files.filter((f) => f.startsWith('dist/'))]) {
    const all = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    for (const entry of all) {
      expect(entry.name).not.toMatch(/impair/i)
      if (!entry.isFile() || !/\.[jt]s$/.test(entry.name)) continue
      const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
      expect([entry.name, /impair|from '[^']*\/test\//i.test(text)]).toEqual([entry.name, false])
    }
  }
})
