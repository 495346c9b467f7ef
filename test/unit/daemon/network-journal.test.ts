import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Lasting, NOTHING, union, without } from '../../../src/daemon/lasting.js'
import { NetworkJournal } from '../../../src/daemon/network-journal.js'
import { parsePrefix } from '../../../src/wire/ip-address.js'

const LASTING: Lasting = {
  filters: ['sallyport-sally0'],
  blackholes: [
    { destination: parsePrefix('10.88.2.0/24')!, table: 254 },
    { destination: parsePrefix('fd00::/64')!, table: 23_057 },
  ],
  rules: [{ family: 6, mark: 0x5a11, table: 23_057, priority: 23_057 }],
  rpFilter: new Map([['eth0', 1]]),
}

let folder: string
let journal: NetworkJournal
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-journal-'))
  journal = new NetworkJournal(join(folder, 'state'), 'sally0')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('what was written is read, until it is removed', () => {
  expect(journal.read()).toBeUndefined()
  journal.write(LASTING)
  expect(statSync(journal.path).mode & 0o777).toBe(0o600)
  expect(journal.read()).toEqual(LASTING)
  journal.remove()
  expect(journal.read()).toBeUndefined()
  journal.remove()
})

test('a record of another boot or network namespace means nothing', () => {
  journal.write(LASTING)
  const text = readFileSync(journal.path, 'utf8')
  const { place } = JSON.parse(text) as { place: string }
  writeFileSync(journal.path, text.replace(place, `${place}0`))
  expect(journal.read()).toBeUndefined()
})

test.each([
  ['nothing', () => ''],
  ['half of it', (text: string) => text.slice(0, text.length / 2)],
  ['another version', (text: string) => text.replace('"version":1', '"version":2')],
  ['a prefix that is none', (text: string) => text.replace('10.88.2.0/24', '10.88.2.1/24')],
  ['a table that is none', (text: string) => text.replace('"table":254', '"table":-1')],
])('damaged, %s: as if there were none', (_, damage) => {
  journal.write(LASTING)
  writeFileSync(journal.path, damage(readFileSync(journal.path, 'utf8')))
  expect(journal.read()).toBeUndefined()
})

test('a state directory that cannot be is an error that names the file', () => {
  writeFileSync(join(folder, 'state'), '')
  expect(() => journal.write(LASTING)).toThrow(/cannot write .*network-sally0\.json.*host\.state/)
})

test('union and difference', () => {
  const other: Lasting = {
    ...NOTHING,
    filters: ['sallyport-sally0', 'more'],
    blackholes: [LASTING.blackholes[0]!, { ...LASTING.blackholes[0]!, table: 7 }],
    rpFilter: new Map([
      ['eth0', 2],
      ['eth1', 1],
    ]),
  }
  const both = union(LASTING, other)
  expect(both.filters).toEqual(['sallyport-sally0', 'more'])
  expect(both.blackholes.map((b) => b.table)).toEqual([254, 23_057, 7])
  expect([...both.rpFilter]).toEqual([
    ['eth0', 1],
    ['eth1', 1],
  ])
  expect(without(LASTING, LASTING)).toEqual(NOTHING)
  expect(without(both, other)).toEqual({
    ...NOTHING,
    blackholes: [LASTING.blackholes[1]],
    rules: LASTING.rules,
  })
})
