import { afterAll, beforeAll, expect, test } from 'vitest'
import { lineOf, Scenario } from './scenario.js'

let s: Scenario
beforeAll(() => {
  s = new Scenario()
  s.key('b.key')
  s.key('c.key')
})
afterAll(() => s.remove())

interface Changes {
  readonly remote?: string
  readonly key?: string
  readonly id?: string
  readonly selector?: string
  readonly encapsulation?: string
  readonly protocol?: string
  readonly proposals?: string
}

/** Two peers; the second one changed. */
const two = (c: Changes): string => `host: { id: dom0-a }
peers:
  b:
    id: dom0-b
    local: 192.0.2.1
    remote: 192.0.2.2
    key_file: b.key
    children:
      m: { local: [10.1.0.1], remote: [10.2.0.0/16] }
  c:
    id: ${c.id ?? 'dom0-c'}
    local: 192.0.2.1
    remote: ${c.remote ?? '192.0.2.3'}
    key_file: ${c.key ?? 'c.key'}
    encapsulation: ${c.encapsulation ?? 'auto'}
    children:
      m:
        protocol: ${c.protocol ?? 'esp'}
        local: [10.1.0.1]
        remote: ["${c.selector ?? '10.3.0.0/16'}"]
`

test('two peers that have nothing in common are good', () => {
  expect(s.problems(two({}))).toEqual([])
})

test.each<[string, Changes, string, string, RegExp]>([
  [
    'one address',
    { remote: '192.0.2.2' },
    'peers.c.remote',
    '    remote: 192.0.2.2',
    /peer b has the address/,
  ],
  [
    'one key',
    { key: 'b.key' },
    'peers.c.key_file',
    'key_file: b.key',
    /same key as peer b has \(fingerprint [0-9a-f]{16}\)/,
  ],
  ['one identity', { id: 'dom0-b' }, 'peers.c.id', 'id: dom0-b', /peer b has the identity dom0-b/],
  ['our own identity', { id: 'dom0-a' }, 'peers.c.id', 'id: dom0-a', /identity of this host/],
  [
    'selectors that overlap',
    { selector: '10.2.5.0/24' },
    'peers.c.children.m.remote',
    '10.2.5.0/24',
    /10\.2\.5\.0\/24 overlaps .*10\.2\.0\.0\/16 of child m of peer b/,
  ],
  [
    'the other’s underlay address',
    { selector: '192.0.2.2/32' },
    'peers.c.children.m.remote[0]',
    '192.0.2.2/32',
    /underlay address 192.0.2.2 of peer b/,
  ],
  [
    'AH in UDP',
    { protocol: 'ah', encapsulation: 'udp' },
    'peers.c.children.m.protocol',
    'protocol: ah',
    /AH cannot be encapsulated in UDP/,
  ],
])('%s', (_, changes, key, line, message) => {
  const text = two(changes)
  const at = s.problems(text).find((p) => p.key === key)
  expect(at?.message).toMatch(message)
  const lines = text.split('\n')
  expect([
    lineOf(text, line),
    lines.lastIndexOf(lines.filter((l) => l.includes(line)).at(-1)!) + 1,
  ]).toContain(at?.line)
})

test('selectors that differ in protocol or port do not overlap', () => {
  const text = two({ selector: '10.2.0.0/16[udp]' }).replace('10.2.0.0/16] }', '"10.2.0.0/16[tcp]"] }')
  expect(s.problems(text)).toEqual([])
})

test('two children of one peer that overlap are refused', () => {
  const text = two({}).replace(
    'm: { local',
    'first: { local: [10.1.0.1], remote: [10.2.3.0/24] }\n      m: { local',
  )
  expect(s.problems(text)[0]).toMatchObject({ key: 'peers.b.children.m.remote' })
})

test('transport mode takes the underlay addresses and nothing else', () => {
  const transport = (local: string, remote: string): string => `host: { id: a }
peers:
  b:
    id: b
    local: 192.0.2.1
    remote: 192.0.2.2
    key_file: b.key
    children:
      m: { mode: transport, local: [${local}], remote: [${remote}] }
`
  expect(s.problems(transport('192.0.2.1', '192.0.2.2/32'))).toEqual([])
  expect(s.problems(transport('"192.0.2.1[tcp]"', '"192.0.2.2[tcp/8002]"'))).toEqual([])
  expect(s.problems(transport('192.0.2.1', '192.0.2.0/24')).map((p) => p.key)).toEqual([
    'peers.b.children.m.remote',
  ])
  expect(s.problems(transport('10.0.0.1', '10.0.0.2')).map((p) => p.key)).toEqual([
    'peers.b.children.m.local',
    'peers.b.children.m.remote',
  ])
})

test('names are of a safe character set', () => {
  for (const name of ['"a b"', '../x', '"é"', `"${'x'.repeat(64)}"`, '""']) {
    const text = two({}).replace('  c:\n', `  ${name}:\n`)
    const at = s.problems(text).find((p) => p.message.includes('expected a name'))
    expect(at?.line, name).toBe(lineOf(text, `  ${name}:`))
  }
})
