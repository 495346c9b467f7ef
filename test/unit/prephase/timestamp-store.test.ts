import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FileTimestampStore } from '../../../src/daemon/timestamp-store.js'
import { ConfigError, SystemError } from '../../../src/errors.js'
import { labelOf } from '../../../src/ike/prephase/tai64n.js'

const label = (unixSeconds: number) => labelOf({ unixSeconds, nanoseconds: 42 })
const PAIR = 'dom0-b.0123456789abcdef'
let state: string
let folder: string

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'sallyport-timestamps-'))
  folder = join(state, 'timestamps')
})
afterEach(() => rmSync(state, { recursive: true, force: true }))

const open = () => FileTimestampStore.open(state)
const recordPath = () => join(folder, `${PAIR}.json`)

describe('labels', () => {
  test('are there for the next process', () => {
    const store = open()
    expect(store.lastSent(PAIR)).toBeUndefined()
    expect(store.lastAccepted(PAIR)).toBeUndefined()
    store.setLastSent(PAIR, label(100))
    store.setLastAccepted(PAIR, label(200))
    store.setLastSent(PAIR, label(101))
    store.setLastAccepted('dom0-c', label(7))
    const again = open()
    expect(again.lastSent(PAIR)).toEqual(label(101))
    expect(again.lastAccepted(PAIR)).toEqual(label(200))
    expect(again.lastSent('dom0-c')).toBeUndefined()
    expect(again.lastAccepted('dom0-c')).toEqual(label(7))
  })

  test('are copied', () => {
    const store = open()
    const mine = label(100)
    store.setLastSent(PAIR, mine)
    mine.fill(0)
    expect(store.lastSent(PAIR)).toEqual(label(100))
  })

  test('of any pair name have a file of their own', () => {
    const names = ['../../etc/passwd', 'a/b', '.', '..', 'ü', 'x'.repeat(400), 'a', 'A', 'a b', '']
    const store = open()
    for (const [i, name] of names.entries()) store.setLastSent(name, label(i))
    const again = open()
    for (const [i, name] of names.entries()) expect(again.lastSent(name)).toEqual(label(i))
    expect(readdirSync(folder).length).toBe(names.length)
    expect(readdirSync(state)).toEqual(['timestamps'])
  })
})

describe('files', () => {
  test('are their owner’s alone, one small one a pair', () => {
    const store = open()
    store.setLastSent(PAIR, label(100))
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(statSync(recordPath()).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual([`${PAIR}.json`])
    expect(readFileSync(recordPath(), 'utf8').length).toBeLessThan(250)
  })

  test('that a crash left half-written are removed, and the old record is in force', () => {
    open().setLastSent(PAIR, label(100))
    writeFileSync(`${recordPath()}.new`, '{"version":1,"pai')
    expect(open().lastSent(PAIR)).toEqual(label(100))
    expect(existsSync(`${recordPath()}.new`)).toBe(false)
  })

  test.each<[string, (text: string) => string]>([
    ['empty', () => ''],
    ['no JSON', () => 'sent 12'],
    ['cut off', (t) => t.slice(0, 40)],
    ['an array', () => '[]'],
    ['null', () => 'null'],
    ['another version', (t) => t.replace('"version":1', '"version":2')],
    ['a changed label', (t) => t.replace('400000000000006e', '400000000000006f')],
    ['a label too short', (t) => t.replace('400000000000006e', '40000000000006e')],
    ['another pair’s', (t) => t.replace('dom0-b', 'dom0-c')],
    ['without check sum', (t) => t.replace(/,"check":"[0-9a-f]+"/, '')],
    ['larger than any record', (t) => `${t}${' '.repeat(2000)}`],
  ])('damaged (%s): a clear error, no silent start', (_name, damage) => {
    open().setLastSent(PAIR, label(100))
    const text = readFileSync(recordPath(), 'utf8')
    expect(damage(text)).not.toBe(text)
    writeFileSync(recordPath(), damage(text))
    expect(open).toThrow(ConfigError)
    expect(open).toThrow(
      /timestamp record .*dom0-b.*\.json is damaged .*clock is right, then remove the file/,
    )
    rmSync(recordPath())
    expect(open().lastSent(PAIR)).toBeUndefined()
  })

  test('under another name than the pair’s are refused', () => {
    open().setLastSent(PAIR, label(100))
    writeFileSync(join(folder, 'dom0-c.json'), readFileSync(recordPath()))
    expect(open).toThrow(/it belongs to "dom0-b/)
  })

  test('in a folder that others may write to are refused', () => {
    open()
    chmodSync(folder, 0o777)
    expect(open).toThrow(/others may write/)
  })
})

describe('failures', () => {
  test('to write are system errors, and the old label stays', () => {
    const store = open()
    store.setLastSent(PAIR, label(100))
    rmSync(folder, { recursive: true })
    expect(() => store.setLastSent(PAIR, label(200))).toThrow(SystemError)
    try {
      store.setLastSent(PAIR, label(200))
    } catch (error) {
      expect(error).toMatchObject({ call: 'open', errno: 2, code: 'SALLYPORT_SYSTEM' })
      expect((error as Error).message).toMatch(/^open .*dom0-b.*: no such file or directory$/)
    }
    expect(store.lastSent(PAIR)).toEqual(label(100))
  })

  test('to make the folder are system errors', () => {
    writeFileSync(folder, '')
    expect(open).toThrow(SystemError)
  })

  test('a record that is a directory', () => {
    open()
    mkdirSync(recordPath())
    expect(open).toThrow(/no regular file/)
  })
})
