import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { buildProgram } from '../../../src/cli/program.js'
import { run } from '../../../src/cli/run.js'
import { packageVersion } from '../../../src/cli/version.js'
import { keyFingerprint, parseKeyText } from '../../../src/ike/prephase/key.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
  process.exitCode = 0
})

/** Runs a command line in this process. */
async function cli(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
  try {
    return { status: await run(args), out, err }
  } finally {
    stdout.mockRestore()
    stderr.mockRestore()
  }
}

describe('help and usage', () => {
  test('--version', async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8'))
    expect(packageVersion()).toBe(version)
    expect(await cli('--version')).toMatchObject({ status: 0, out: `${version}\n` })
  })

  test('every command has --help with an example', async () => {
    const names = buildProgram().commands.map((c) => c.name())
    expect(names).toEqual(['up', 'down', 'status', 'check', 'genkey', 'identity', 'replay'])
    for (const name of ['', ...names]) {
      const { status, out } = await cli(...(name ? [name] : []), '--help')
      expect(status).toBe(0)
      expect(out).toMatch(/Examples?:\n {2}sallyport /)
    }
    expect((await cli('--help')).out).toMatch(/Exit status: 0 good, 1 failed while running, 2 wrong usage/)
  })

  test.each<[string[], RegExp]>([
    [[], /Usage: sallyport/],
    [['chek'], /unknown command 'chek'[\s\S]*Did you mean check/],
    [['check'], /required option '-c, --config <file>'/],
    [['up'], /required option '-c, --config <file>'/],
    [['status', '--jsn'], /unknown option '--jsn'/],
    [['genkey', 'extra'], /too many arguments/],
  ])('wrong usage %j ends with 2', async (args, message) => {
    const { status, err } = await cli(...args)
    expect(status).toBe(2)
    expect(err).toMatch(message)
  })
})

describe('genkey', () => {
  test('writes a new file that only its owner can read, and says its fingerprint', async () => {
    const path = join(folder, 'b.key')
    const mask = process.umask(0)
    const { status, out } = await cli('genkey', '-o', path)
    process.umask(mask)
    expect(status).toBe(0)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const key = parseKeyText(readFileSync(path))
    expect(key).toHaveLength(32)
    expect(out).toBe(`${path}: written, fingerprint ${keyFingerprint(key)}\n`)
  })

  test('does not overwrite', async () => {
    const path = join(folder, 'b.key')
    writeFileSync(path, 'old')
    const { status, err } = await cli('genkey', '-o', path)
    expect(status).toBe(2)
    expect(err).toBe(
      `sallyport: ${path} exists and is not overwritten; remove it first, or name another file\n`,
    )
    expect(readFileSync(path, 'utf8')).toBe('old')
  })

  test('a folder that does not exist ends with 1', async () => {
    const { status, err } = await cli('genkey', '-o', join(folder, 'none', 'b.key'))
    expect(status).toBe(1)
    expect(err).toMatch(/^sallyport: .*cannot be written: ENOENT\n$/)
  })

  test('without -o the key goes to standard output, a new one every time', async () => {
    const a = await cli('genkey')
    const b = await cli('genkey')
    expect(parseKeyText(a.out)).not.toEqual(parseKeyText(b.out))
  })

  test('--sa makes a keys file that a configuration takes', async () => {
    const keys = join(folder, 'sa.keys')
    const made = await cli('genkey', '-o', keys, '--sa', '0x1001:aes256-sha512', '--sa', '4098:sha256')
    expect(made).toMatchObject({ status: 0, err: '' })
    expect(readFileSync(keys, 'utf8')).toMatch(
      /^#.*\n0x1001 encryption 0x[0-9a-f]{64}\n0x1001 integrity 0x[0-9a-f]{128}\n0x1002 integrity 0x[0-9a-f]{64}\n$/,
    )
  })

  test.each([
    ['aes128-sha256', /SPI:ALGORITHMS/],
    ['0x10:aes128-sha256', /SPI from 256/],
    ['0x1001:aes128gcm16', /counter-mode/],
    ['0x1001:aes128ctr-sha256', /counter-mode/],
    ['0x1001:aes128gmac', /counter-mode/],
    ['0x1001:aes128', /integrity/],
    ['0x1001:banana', /banana/],
  ])('--sa %s is refused', async (sa, message) => {
    const { status, err } = await cli('genkey', '--sa', sa)
    expect(status).toBe(2)
    expect(err).toMatch(message)
  })
})

describe('check', () => {
  const config = (key: string): string => `host: { id: dom0-a.example }
tun: { addresses: [10.88.1.1/32] }
peers:
  dom0-b:
    id: dom0-b.example
    local: 192.0.2.1
    remote: 192.0.2.2
    key_file: ${key}
    children:
      tunnel: { local: [10.88.1.1/32], remote: [10.88.2.1/32] }
      all: { protocol: ah, mode: transport, local: [192.0.2.1], remote: [192.0.2.2] }
`

  test('shows peers, fingerprints, policies and deployments, and no key', async () => {
    await cli('genkey', '-o', join(folder, 'b.key'))
    const file = join(folder, 'good.yaml')
    writeFileSync(file, config('b.key'))
    const key = parseKeyText(readFileSync(join(folder, 'b.key')))
    const { status, out } = await cli('check', '-c', file)
    expect(status).toBe(0)
    expect(out).toContain(`${file}: valid`)
    expect(out).toMatch(/dom0-b\s+192\.0\.2\.1 - 192\.0\.2\.2\s+dom0-b\.example\s+hardened/)
    expect(out).toContain(keyFingerprint(key))
    expect(out).toMatch(
      /1\s+dom0-b\.tunnel\s+ESP tunnel\s+10\.88\.1\.1\/32 - 10\.88\.2\.1\/32\s+behind the TUN/,
    )
    expect(out).toMatch(/2\s+dom0-b\.all\s+AH transport\s+192\.0\.2\.1\/32 - 192\.0\.2\.2\/32\s+transparent/)
    const json = JSON.parse((await cli('check', '-c', file, '--json')).out)
    expect(json.peers[0]).toMatchObject({ name: 'dom0-b', fingerprint: keyFingerprint(key) })
    const secret = Buffer.from(key)
    for (const shown of [out, JSON.stringify(json)]) {
      expect(shown).not.toContain(secret.toString('base64'))
      expect(shown).not.toContain(secret.toString('hex'))
    }
  })

  test('every problem has a line of its own on stderr and the status is 2', async () => {
    const file = join(folder, 'bad.yaml')
    writeFileSync(file, config('none.key').replace('10.88.1.1/32] }', '10.88.1.1/32], mtu: 1 }'))
    const { status, out, err } = await cli('check', '-c', file)
    expect(status).toBe(2)
    expect(out).toBe('')
    const lines = err.trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(`sallyport: ${file}:2:`)
    expect(lines[1]).toMatch(`sallyport: ${file}:8:`)
    expect(lines[1]).toMatch(/peers\.dom0-b\.key_file: .*none\.key does not exist/)
  })

  test('a file that is not there', async () => {
    const { status, err } = await cli('check', '-c', join(folder, 'none.yaml'))
    expect(status).toBe(2)
    expect(err).toMatch(/none\.yaml:1:1: no such file/)
  })
})

describe('commands that need a daemon', () => {
  test('down --leftovers wants a configuration, whose rules it removes', async () => {
    const { status, err } = await cli('down', '--leftovers')
    expect(status).toBe(2)
    expect(err).toBe('sallyport: --leftovers needs the configuration, -c FILE\n')
  })

  test.each(['status', 'down'])('%s says when there is none', async (name) => {
    const { status, err } = await cli(name, '--socket', join(folder, 'none'))
    expect(status).toBe(1)
    expect(err).toMatch(
      /^sallyport: control socket .*: no daemon answers there; start one with: sallyport up -c FILE/,
    )
    expect(existsSync(join(folder, 'none'))).toBe(false)
  })
})

describe('identity', () => {
  test('make writes a secret file, show gives its public key', async () => {
    const file = join(folder, 'id.key')
    const { status, out } = await cli('identity', 'make', '-o', file)
    expect({ status, out }).toEqual({ status: 0, out: `${file}: written\n` })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const shown = await cli('identity', 'show', file, '--id', 'dom0-a.example')
    expect(shown.out).toMatch(/^dom0-a\.example [A-Za-z0-9+/]{86}==\n$/)
    expect(readFileSync(file, 'utf8')).toContain(`# public key: ${shown.out.split(' ')[1]}`)
    expect((await cli('identity', 'show', file)).out).toBe(shown.out.split(' ')[1])
    expect((await cli('identity', 'show', file, '--fingerprint')).out).toMatch(/^[0-9a-f]{16}\n$/)
    const secret = readFileSync(file, 'utf8').trim().split(' ').at(-1)!
    expect(shown.out).not.toContain(secret)
  })

  test('an existing file is left alone; a K_ab is no identity; --id must be one', async () => {
    const file = join(folder, 'k.key')
    await cli('genkey', '-o', file)
    const before = readFileSync(file, 'utf8')
    expect(await cli('identity', 'make', '-o', file)).toMatchObject({ status: 2, out: '' })
    expect(readFileSync(file, 'utf8')).toBe(before)
    const shown = await cli('identity', 'show', file)
    expect(shown).toMatchObject({ status: 2, out: '' })
    expect(shown.err).toMatch(/k\.key: not an identity; make one with: sallyport identity make -o FILE/)
    expect((await cli('identity', 'show', file, '--id', 'a b')).err).toMatch(/--id a b: expected an identity/)
    expect((await cli('identity', 'show', join(folder, 'none'))).err).toMatch(
      /does not exist.*identity make -o/,
    )
    expect((await cli('identity')).status).toBe(2)
  })
})
