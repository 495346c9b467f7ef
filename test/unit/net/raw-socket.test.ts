import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SystemError } from '../../../src/errors.js'
import { loadRawSocket } from '../../../src/net/portable/raw-socket.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-raw-socket-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function messageOf(source: string | undefined): string {
  if (source !== undefined) {
    const home = join(folder, 'node_modules', 'raw-socket')
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, 'package.json'), '{"name":"raw-socket","main":"index.js"}')
    writeFileSync(join(home, 'index.js'), source)
  }
  try {
    loadRawSocket(join(folder, 'package.json'))
  } catch (error) {
    expect(error).toBeInstanceOf(SystemError)
    return (error as SystemError).message
  }
  throw new Error('nothing was thrown')
}

test('a package that is not installed', () => {
  expect(messageOf(undefined)).toContain('npm install raw-socket')
})

test('a package installed without its native part', () => {
  const message = messageOf('require("./build/Release/raw.node")')
  expect(message).toContain('npm rebuild raw-socket')
  expect(message).toContain('compiler')
})

test('a native part of another Node.js', () => {
  expect(
    messageOf('throw Object.assign(new Error("NODE_MODULE_VERSION 93"), { code: "ERR_DLOPEN_FAILED" })'),
  ).toMatch(/npm rebuild raw-socket.*NODE_MODULE_VERSION 93/)
})
