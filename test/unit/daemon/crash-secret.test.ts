import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { random } from '../../../src/crypto/random.js'
import { openCrashSecret } from '../../../src/daemon/crash-secret.js'

describe('the secret of quick crash detection', () => {
  let state = ''
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), 'crash-secret-'))
  })
  afterEach(() => rmSync(state, { recursive: true }))
  const file = (): string => join(state, 'crash-secret')

  test('is made once, for its owner’s eyes only, and is the same ever after', () => {
    const first = openCrashSecret(join(state, 'new'), random)
    expect(first).toHaveLength(32)
    expect(statSync(join(state, 'new', 'crash-secret')).mode & 0o777).toBe(0o600)
    expect(openCrashSecret(join(state, 'new'), random)).toEqual(first)
    expect(openCrashSecret(state, random)).not.toEqual(first)
  })

  test.each(['', 'abcd\n', 'x'.repeat(64), '0'.repeat(65)])(
    'is made anew when %j is all there is',
    (text) => {
      writeFileSync(file(), text)
      const secret = openCrashSecret(state, random)
      expect(Buffer.from(secret).toString('hex')).toBe(readFileSync(file(), 'latin1').trim())
      expect(openCrashSecret(state, random)).toEqual(secret)
    },
  )

  test('cannot be kept: says where', () => {
    writeFileSync(join(state, 'file'), '')
    expect(() => openCrashSecret(join(state, 'file', 'sub'), random)).toThrow('file/sub')
  })
})
