import { afterEach, beforeEach, expect, test } from 'vitest'
import { lanePolicies, peersInLanes, wantedLanes } from '../../../src/daemon/lanes.js'
import { basePolicy, laneOfPolicy, lanePolicy } from '../../../src/sadb/lane-policy.js'
import { BASE, lineOf, Scenario } from '../config/scenario.js'

let s: Scenario
beforeEach(() => {
  s = new Scenario()
  s.key('b.key')
})
afterEach(() => s.remove())

const MANUAL = `        manual:
          - { direction: outbound, spi: 0x1001, algorithms: aes128-sha256, keys_file: m.keys }
          - { direction: inbound, spi: 0x1002, algorithms: aes128-sha256, keys_file: m.keys }
`
/** The base configuration with a second child that has manual SAs. */
function withManual(lanes: string): string {
  const keys = (spi: string) => `${spi} encryption ${'a1'.repeat(16)}\n${spi} integrity ${'a2'.repeat(32)}\n`
  s.write('m.keys', keys('0x1001') + keys('0x1002').replaceAll('a', 'b'))
  const child = `      other:\n        local: [10.88.1.9/32]\n        remote: [10.88.2.9/32]\n${MANUAL}`
  return `${BASE.replace('  engine: auto\n', `  engine: auto\n  lanes: ${lanes}\n`)}${child}`
}

test('auto: one for every two processors, one at least, sixteen at most', () => {
  const config = s.load(BASE)
  const lanes = [1, 2, 3, 4, 8, 64].map((processors) => wantedLanes(config, processors))
  expect(lanes).toEqual([1, 1, 1, 2, 4, 16])
  expect(wantedLanes(s.load(BASE.replace('  engine: auto\n', '  engine: auto\n  lanes: 3\n')), 2)).toBe(3)
})

test('manual SAs have one lane, and several are refused', () => {
  expect(wantedLanes(s.load(withManual('auto')), 16)).toBe(1)
  const text = withManual('2')
  const problems = s.problems(text)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatchObject({ line: lineOf(text, 'lanes: 2'), key: 'dataplane.lanes' })
  expect(problems[0]!.message).toMatch(/manual SA cannot be shared.*expected 1 or auto/)
})

test.each(['0', '17', 'two', '1.5'])('lanes: %s is refused', (value) => {
  const text = BASE.replace('  engine: auto\n', `  engine: auto\n  lanes: ${value}\n`)
  expect(s.problems(text)[0]!.message).toMatch(/expected auto, or a whole number from 1 to 16/)
})

test('a policy and a child for each lane, told apart by their ids', () => {
  const config = s.load(BASE)
  const policies = lanePolicies(config.policies[0]!, 3)
  const children = peersInLanes(config.ike, 3)[0]!.children
  expect(policies.map((p) => p.id)).toEqual(children.map((c) => c.policy))
  expect(children.map((c) => c.lane)).toEqual([0, 1, 2].map((index) => ({ index, count: 3 })))
  for (const [lane, { id }] of policies.entries())
    expect([laneOfPolicy(id), basePolicy(id)]).toEqual([lane, config.policies[0]!.id])
  expect(lanePolicy(7, 0)).toBe(7)
  expect(peersInLanes(config.ike, 1)).toBe(config.ike)
})
