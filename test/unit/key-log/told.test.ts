import { afterAll, beforeAll, expect, test } from 'vitest'
import { summarize } from '../../../src/cli/commands/check.js'
import { formatStatus } from '../../../src/cli/status-text.js'
import { BASE, Scenario } from '../config/scenario.js'
import { STATUS } from '../control/fake-gateway.js'

// Whoever looks at a gateway that logs its keys is told.

let s: Scenario
beforeAll(() => {
  s = new Scenario()
  s.key('b.key')
})
afterAll(() => s.remove())

test('it is off unless the configuration says so', () => {
  expect(s.load(BASE).keyLog).toBeUndefined()
  expect(formatStatus(STATUS)).not.toMatch(/key log/i)
})

test('status and check begin with it', () => {
  const text = formatStatus({ ...STATUS, keyLog: '/root/keys' })
  expect(text.split('\n')[0]).toBe('KEY LOG IS ON: the keys of all SAs are written in plain to /root/keys')
  const config = s.load(`${BASE}\nkey_log: { directory: /root/keys }\n`)
  expect(config.keyLog).toBe('/root/keys')
  expect(summarize(config).keyLog).toBe('/root/keys')
})

test.each([
  ['key_log: { directory: keys }', 'key_log.directory', /absolute path/],
  ['key_log: {}', 'key_log.directory', /absolute path|missing|required/],
  ['key_log: /root/keys', 'key_log', /expected/],
  ['key_log: { directory: /root/keys, mode: 0644 }', 'key_log.mode', /unknown|not known/],
])('%s is refused', (text, key, why) => {
  const problems = s.problems(`${BASE}\n${text}\n`)
  expect(problems.map((p) => p.key)).toEqual([key])
  expect(problems[0]?.message).toMatch(why)
})
