import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SALLYPORT } from '../lab/root.js'

test('an answer that no pipe holds at once arrives whole, however late it is read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-output-'))
  try {
    const peers = Array.from({ length: 300 }, (_, i) => {
      writeFileSync(join(folder, `${i}.key`), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
      const child = `{ local: [10.88.1.1/32], remote: [10.90.${i >> 8}.${i & 0xff}/32] }`
      return `  p${i}: { id: p${i}.example, local: 127.0.0.1, remote: 127.1.${i >> 8}.${i & 0xff}, key_file: ${i}.key, children: { c: ${child} } }`
    })
    writeFileSync(join(folder, 'c.yaml'), `host: { id: me.example }\npeers:\n${peers.join('\n')}\n`)
    const line = `'${process.execPath}' '${SALLYPORT}' check -c c.yaml --json | (sleep 1; cat)`
    const { stdout } = spawnSync('sh', ['-c', line], { cwd: folder, encoding: 'utf8', maxBuffer: 64 << 20 })
    expect(stdout.length).toBeGreaterThan(1 << 17)
    expect(JSON.parse(stdout).peers).toHaveLength(300)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
