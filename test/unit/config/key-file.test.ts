import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../../src/bytes/octets.js'
import { KEY_FILE_MAX, readKeyFile } from '../../../src/daemon/config/key-file.js'
import { parsePskFile } from '../../../src/daemon/config/psk-file.js'
import { BASE, lineOf, Scenario } from './scenario.js'

let s: Scenario
beforeAll(() => {
  s = new Scenario()
})
afterAll(() => s.remove())

describe('key files', () => {
  test('a file of mode 0600 is read', () => {
    expect(readKeyFile(s.write('good.key', 'text\n')).toString()).toBe('text\n')
    expect(readKeyFile(s.write('read-only.key', 'text\n', 0o400)).toString()).toBe('text\n')
  })

  test('a link is followed and its target judged', () => {
    s.write('target.key', 'x', 0o644)
    symlinkSync(join(s.folder, 'target.key'), join(s.folder, 'link.key'))
    expect(() => readKeyFile(join(s.folder, 'link.key'))).toThrow(/chmod 600/)
  })

  test.each([0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])('mode %o is refused', (mode) => {
    const path = s.write(`mode-${mode}.key`, 'x', mode)
    expect(() => readKeyFile(path)).toThrow(`mode ${mode.toString(8).padStart(4, '0')}`)
    expect(() => readKeyFile(path)).toThrow(`chmod 600 ${path}`)
  })

  test('what is missing, a folder, a pipe, empty or too large is refused', () => {
    expect(() => readKeyFile(join(s.folder, 'none.key'))).toThrow(/none\.key does not exist.*genkey -o/)
    mkdirSync(join(s.folder, 'folder.key'))
    expect(() => readKeyFile(join(s.folder, 'folder.key'))).toThrow(/is a directory/)
    execFileSync('mkfifo', ['-m', '600', join(s.folder, 'pipe.key')])
    expect(() => readKeyFile(join(s.folder, 'pipe.key'))).toThrow(/not a regular file/)
    expect(() => readKeyFile(s.write('empty.key', ''))).toThrow(/is empty/)
    expect(() => readKeyFile(s.write('large.key', 'x'.repeat(KEY_FILE_MAX + 1)))).toThrow(/not a key file/)
  })

  test.skipIf(process.geteuid?.() !== 0)('another user’s file is refused', () => {
    const path = s.write('other.key', 'x')
    chownSync(path, 65534, 65534)
    expect(() => readKeyFile(path)).toThrow(/belongs to user 65534.*chown 0/)
  })
})

describe('keys in a configuration', () => {
  const keyProblem = (text = BASE) => {
    const problem = s.problems(text)[0]
    expect(problem?.key).toBe('peers.dom0-b.key_file')
    expect(problem?.line).toBe(lineOf(text, 'key_file:'))
    return problem!.message
  }

  test('group- and world-readable keys are refused with the command that mends it', () => {
    const path = s.write('b.key', 'x', 0o640)
    expect(keyProblem()).toContain(`chmod 600 ${path}`)
  })

  test.each<[string, string, RegExp]>([
    ['31 octets', 'ab'.repeat(31), /31 octets instead of 32/],
    ['readable text', Buffer.from('correct horse battery staple 123').toString('hex'), /readable text/],
    ['a pattern', '00'.repeat(32), /pattern/],
    ['something else', 'hello world', /not a key/],
  ])('%s is no K_ab', (_, text, message) => {
    s.write('b.key', `${text}\n`)
    expect(keyProblem()).toMatch(message)
    expect(keyProblem()).not.toContain(text)
  })

  test('with dynamic_psk off a PSK of another daemon’s may stand in it, and has no fingerprint to show', () => {
    s.write('b.key', '# from strongSwan\npsk: correct horse battery staple\n')
    const config = s.load(BASE.replace('dynamic_psk: hardened', 'dynamic_psk: off'))
    expect(config.ike[0]?.key).toEqual(utf8('correct horse battery staple'))
    expect(config.peers[0]?.fingerprint).toBeUndefined()
    s.write('b.key', 'psk: short\n')
    const problem = s.problems(BASE.replace('dynamic_psk: hardened', 'dynamic_psk: off'))[0]
    expect(problem?.message).toMatch(/key of 5 octets; expected 16 to 1024/)
  })
})

describe('plain PSK files', () => {
  const key = (text: string) => {
    const parsed = parsePskFile(utf8(text))
    return typeof parsed === 'string' ? parsed : Buffer.from(parsed).toString('latin1')
  }
  test.each<[string, string]>([
    ['psk: 0123456789abcdef', '0123456789abcdef'],
    ['  psk:   words with  blanks inside  \r\n', 'words with  blanks inside'],
    ['# comment\n\n0x30313233343536373839616263646566\n', '0123456789abcdef'],
    ['0sMDEyMzQ1Njc4OWFiY2RlZg==', '0123456789abcdef'],
    ['0sMDEyMzQ1Njc4OWFiY2RlZmc=', '0123456789abcdefg'],
    ['0sMDEyMzQ1Njc4OWFiY2RlZmdo', '0123456789abcdefgh'],
  ])('%j', (text, expected) => expect(key(text)).toBe(expected))

  test.each(['0x', '0s'])('a key of genkey’s may begin with %s', (begin) => {
    const text = `${begin}JFN7ws5AkhYthCEmUN6Ec/IA9+QDf2Pt412+Zc240=`
    expect(key(`${text}\n`)).toBe(Buffer.from(text, 'base64').toString('latin1'))
  })

  test.each<[string, RegExp]>([
    ['', /no key/],
    ['# only a comment\n', /no key/],
    ['psk: 0123456789abcdef\npsk: 0123456789abcdef\n', /more than one line \(line 2\)/],
    ['0123456789abcdef0', /line 1 is none of/],
    ['\n0x0123456789abcdef0', /line 2 is none of/],
    ['0s!!!!', /none of/],
    ['psk: tooshort', /8 octets/],
    [`psk: ${'x'.repeat(1025)}`, /1025 octets/],
  ])('refuses %j', (text, message) => expect(key(text)).toMatch(message))
})
