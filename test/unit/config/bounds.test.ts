import { afterEach, beforeEach, expect, test } from 'vitest'
import { Scenario } from './scenario.js'

let scenario: Scenario
beforeEach(() => {
  scenario = new Scenario()
  scenario.key('one.key')
})
afterEach(() => scenario.remove())

/** Peers that have one key, which bounds say nothing of. */
function config(peers: number, children: number, selectors = 1): string {
  const lines = ['host: { id: dom0-a.example }', 'peers:']
  for (let i = 0; i < peers; i++) {
    const low = `${i >> 8}.${i & 255}`
    lines.push(
      `  p${i}:`,
      '    local: 192.0.2.1',
      `    remote: 198.18.${low}`,
      `    id: p${i}.example`,
      '    key_file: one.key',
      '    children:',
    )
    for (let k = 0; k < children; k++) {
      const remote = Array.from({ length: selectors }, (_, n) => `fd00:${k}:${n}::${i}/128`)
      lines.push(
        `      c${k}: { local: ['fd01::1/128'], remote: [${remote.map((r) => `'${r}'`).join(', ')}] }`,
      )
    }
  }
  return lines.join('\n')
}

/** What is said of all peers together. That they have the same key is told of as well, at their own places. */
const said = (text: string): string[] =>
  scenario
    .problems(text)
    .filter((p) => p.key === 'peers')
    .map((p) => p.message)

test('every bound that is exceeded is named, all at once', () => {
  expect(said(config(1, 64))).toEqual([])
  expect(said(config(17, 64, 4))).toEqual([
    '1088 children, each a policy; expected at most 1024 of all peers together',
    expect.stringMatching(
      /^4352 pairs of selectors, .* expected at most 4096 of all peers together, .* packet filter/,
    ),
  ])
  expect(said(config(1001, 1, 1))).toEqual(['expected 1 to 1000 peers'])
  expect(said(config(1001, 2, 3))).toEqual([
    'expected 1 to 1000 peers',
    expect.stringMatching(/^2002 children/),
    expect.stringMatching(/^6006 pairs/),
  ])
  const children = scenario.problems(config(1, 65)).filter((p) => p.key === 'peers.p0.children')
  expect(children.map((p) => p.message)).toEqual([expect.stringContaining('expected 1 to 64 children')])
})
