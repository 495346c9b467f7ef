import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BASE, lineOf, Scenario } from './scenario.js'

let s: Scenario
beforeAll(() => {
  s = new Scenario()
  s.key('b.key')
})
afterAll(() => s.remove())

/** Replaces the one line that begins (after blanks) with `from`. */
function changed(from: string, to: string): string {
  const lines = BASE.split('\n')
  const hits = lines.filter((line) => line.trim().startsWith(from))
  if (hits.length !== 1) throw new Error(`${hits.length} lines begin with ${from}`)
  return lines.map((line) => (line === hits[0] ? line.replace(line.trim(), to) : line)).join('\n')
}

test('the base is good', () => {
  expect(s.problems(BASE)).toEqual([])
})

// What is replaced, by what, the key that the error names, and what it says.
describe('every wrong value is named with its line, key and expectation', () => {
  test.each<[string, string, string, RegExp]>([
    ['id: dom0-a.example', 'id: "two words"', 'host.id', /expected an identity/],
    ['state: /var', 'state: var/lib', 'host.state', /absolute path/],
    ['control: /run', `control: /${'x'.repeat(120)}`, 'host.control', /at most 107 octets/],
    ['name: sally0', 'name: a-name-of-sixteen', 'tun.name', /at most 15/],
    ['name: sally0', 'name: "../x"', 'tun.name', /at most 15/],
    ['addresses:', 'addresses: [10.88.1.1/33]', 'tun.addresses[0]', /prefix length/],
    ['addresses:', 'addresses: 10.88.1.1', 'tun.addresses', /expected a list/],
    ['addresses:', 'addresses: [192.0.2.1/24]', 'tun.addresses[0]', /underlay address/],
    ['mtu: auto', 'mtu: 100', 'tun.mtu', /576 to 65535/],
    [
      'level: info',
      'level: verbose',
      'log.level',
      /trace \| debug \| info \| warn \| error, found "verbose"/,
    ],
    ['format: auto', 'format: xml', 'log.format', /auto \| json \| pretty/],
    ['engine: auto', 'engine: fast', 'dataplane.engine', /ipsec-mb \| openssl \| noble/],
    ['fwmark:', 'fwmark: 0', 'dataplane.fwmark', /a mark from 1/],
    ['fwmark:', 'fwmark: 0x1ffffffff', 'dataplane.fwmark', /0xffffffff/],
    ['table:', 'table: 254', 'dataplane.table', /256 or higher/],
    ['id: dom0-b', 'id: 7', 'peers.dom0-b.id', /expected an identity.*found 7/],
    ['local: 192', 'local: host.example', 'peers.dom0-b.local', /no name/],
    ['remote: 192', 'remote: 224.0.0.5', 'peers.dom0-b.remote', /unicast/],
    ['remote: 192', 'remote: 2001:db8::2', 'peers.dom0-b.remote', /different families/],
    ['remote: 192', 'remote: 192.0.2.1', 'peers.dom0-b.remote', /address of this host/],
    ['key_file:', 'key_file: missing.key', 'peers.dom0-b.key_file', /does not exist.*genkey/],
    ['dynamic_psk:', 'dynamic_psk: soft', 'peers.dom0-b.dynamic_psk', /hardened \| classic \| off/],
    ['encapsulation:', 'encapsulation: tcp', 'peers.dom0-b.encapsulation', /auto \| udp \| raw/],
    ['version: 1', 'version: 3', 'peers.dom0-b.ike.version', /expected 1 or 2/],
    [
      'proposals: [aes128-sha256-modp',
      'proposals: [aes128-sha256]',
      'peers.dom0-b.ike.proposals[0]',
      /key exchange/,
    ],
    [
      'proposals: [aes128-sha256-modp',
      'proposals: [aes999-sha256-modp2048]',
      'peers.dom0-b.ike.proposals[0]',
      /aes999/,
    ],
    ['proposals: [aes128-sha256-modp', 'proposals: []', 'peers.dom0-b.ike.proposals', /1 to 16 proposals/],
    ['lifetime: 8h', 'lifetime: 8', 'peers.dom0-b.ike.lifetime', /a duration.*8h.*found 8/],
    ['lifetime: 8h', 'lifetime: 1s', 'peers.dom0-b.ike.lifetime', /from 10s to 30d/],
    ['dpd:', 'dpd: often', 'peers.dom0-b.ike.dpd', /off, or a duration/],
    ['protocol: esp', 'protocol: ipcomp', 'peers.dom0-b.children.migration.protocol', /esp \| ah/],
    ['mode: tunnel', 'mode: beet', 'peers.dom0-b.children.migration.mode', /tunnel \| transport/],
    [
      'mode: tunnel',
      'mode: transport',
      'peers.dom0-b.children.migration.local',
      /underlay address of this host/,
    ],
    [
      'local: [10',
      'local: [10.88.1.1/24]',
      'peers.dom0-b.children.migration.local[0]',
      /bits set behind its prefix/,
    ],
    ['local: [10', 'local: [2001:db8::/64]', 'peers.dom0-b.children.migration.remote[0]', /of one family/],
    [
      'local: [10',
      'local: [10.88.1.1, 10.88.1.2]',
      'peers.dom0-b.children.migration.local[1]',
      /IKEv1 negotiates one selector/,
    ],
    [
      'remote: [10',
      'remote: ["10.88.2.1[gre/4]"]',
      'peers.dom0-b.children.migration.remote[0]',
      /address block/,
    ],
    [
      'proposals: [aes128gcm',
      'proposals: [chacha20poly1305]',
      'peers.dom0-b.children.migration.proposals[0]',
      /IKEv1 has no number for chacha20poly1305.*aes256gcm16/,
    ],
    ['proposals: [aes128gcm', 'proposals: [sha256]', 'peers.dom0-b.children.migration.proposals[0]', /./],
    [
      'lifetime: { time',
      'lifetime: { bytes: 10 }',
      'peers.dom0-b.children.migration.lifetime.bytes',
      /a size.*64GiB/,
    ],
    [
      'replay_window:',
      'replay_window: 100',
      'peers.dom0-b.children.migration.replay_window',
      /multiple of 32/,
    ],
    ['start:', 'start: now', 'peers.dom0-b.children.migration.start', /trap \| start/],
  ])('%s -> %s', (from, to, key, message) => {
    const text = changed(from, to)
    const problems = s.problems(text)
    const at = problems.find((p) => p.key === key)
    expect(at, JSON.stringify(problems)).toBeDefined()
    expect(at!.message).toMatch(message)
    expect(at!.file).toBe(s.file)
    const named = to.split(':')[0]!
    // A complaint about the other side of a pair stands there.
    if (key.includes(named)) expect(at!.line).toBe(lineOf(text, to))
    expect(at!.column).toBeGreaterThan(0)
  })
})

describe('unknown and missing keys', () => {
  test.each<[string, string, string, string]>([
    ['host:', 'hosts:', 'hosts', 'host'],
    ['key_file:', 'keyfile: b.key', 'peers.dom0-b.keyfile', 'key_file'],
    ['key_file:', 'key-file: b.key', 'peers.dom0-b.key-file', 'key_file'],
    ['dynamic_psk:', 'dynamik_psk: hardened', 'peers.dom0-b.dynamik_psk', 'dynamic_psk'],
    ['replay_window:', 'replaywindow: 64', 'peers.dom0-b.children.migration.replaywindow', 'replay_window'],
    ['fwmark:', 'fwmrak: 1', 'dataplane.fwmrak', 'fwmark'],
  ])('%s -> %s suggests the nearest', (from, to, key, near) => {
    const text = changed(from, to)
    const at = s.problems(text).find((p) => p.key === key)
    expect(at?.message).toContain(`did you mean ${near}?`)
    expect(at?.line).toBe(lineOf(text, to))
  })

  test('without a near one, the known ones are listed', () => {
    const at = s.problems(changed('start:', 'colour: red')).find((p) => p.key.endsWith('colour'))
    expect(at?.message).toMatch(/unknown key "colour"; expected one of protocol, mode, local/)
  })

  test.each<[string, string, RegExp]>([
    ['local: 192', 'peers.dom0-b.local', /is missing; expected an IP address/],
    ['key_file:', 'peers.dom0-b.key_file', /is missing; expected the path/],
    ['id: dom0-b', 'peers.dom0-b.id', /is missing; expected the identity/],
    ['id: dom0-a', 'peers.dom0-b.local_id', /is missing, and host.id as well/],
    ['remote: [10', 'peers.dom0-b.children.migration.remote', /is missing; expected a list/],
  ])('without %s', (line, key, message) => {
    const text = changed(line, '')
    const at = s.problems(text).find((p) => p.key === key)
    expect(at?.message).toMatch(message)
    expect(at?.line).toBe(lineOf(text, key.includes('children') ? 'migration:' : 'dom0-b:'))
  })

  test('an empty file, and a file without peers', () => {
    expect(s.problems('')[0]).toMatchObject({
      line: 1,
      message: expect.stringMatching(/mapping with the keys host/),
    })
    expect(s.problems('host: { id: a }\n')[0]).toMatchObject({
      key: 'peers',
      message: expect.stringMatching(/is missing/),
    })
    expect(s.problems('host: { id: a }\npeers: {}\n')[0]).toMatchObject({
      key: 'peers',
      line: 2,
      message: expect.stringMatching(/1 to 1000 peers/),
    })
  })
})

describe('YAML', () => {
  test.each<[string, string, number, RegExp]>([
    ['a syntax error', 'host: {\n', 2, /not valid YAML/],
    ['a key twice', 'host: { id: a }\nhost: { id: b }\n', 2, /not valid YAML.*unique/],
    ['a tab', 'host:\n\tid: a\n', 2, /not valid YAML/],
    ['a tag', 'host: !!binary aGk=\n', 1, /tags are not used here/],
    ['a key that no object should have', 'host: { id: a }\n__proto__: { x: 1 }\n', 2, /__proto__/],
    ['a list as a key', '? [a, b]\n: c\n', 1, /plain text/],
    ['two documents', 'host: { id: a }\n---\nhost: { id: b }\n', 2, /not valid YAML/],
  ])('%s', (_, text, line, message) => {
    const at = s.problems(text)[0]
    expect(at?.message).toMatch(message)
    expect(at?.line).toBe(line)
  })

  test('aliases that multiply are refused', () => {
    let text = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
    for (let i = 1; i < 9; i++) text += `a${i}: &a${i} [${new Array(10).fill(`*a${i - 1}`).join(', ')}]\n`
    expect(s.problems(text)[0]?.message).toMatch(/not valid YAML|unknown key/)
  })

  test('bottomless nesting is refused', () => {
    expect(s.problems(`host: ${'['.repeat(200)}${']'.repeat(200)}\n`)[0]?.message).toMatch(/levels deep/)
  })
})

test('all problems are shown together, in the order of the file', () => {
  const text = changed('mtu: auto', 'mtu: 1')
    .replace('fwmark: 0x5a11', 'fwmark: 0')
    .replace('lifetime: 8h', 'lifetime: 8y')
    .replace('start: trap', 'start: maybe')
  const keys = s.problems(text).map((p) => p.key)
  expect(keys).toEqual([
    'tun.mtu',
    'dataplane.fwmark',
    'peers.dom0-b.ike.lifetime',
    'peers.dom0-b.children.migration.start',
  ])
})

test('a key that stands in the configuration by mistake is not repeated in the error', () => {
  for (const secret of [`0x${'ab12'.repeat(16)}`, 'q7Jx'.repeat(11), '"psk: correct horse battery staple"']) {
    const problems = s.problems(changed('key_file:', `key_file: ${secret}`))
    expect(problems[0]?.message).toMatch(/never stands in the configuration/)
    expect(JSON.stringify(problems)).not.toContain(secret.slice(2, 12))
  }
})
