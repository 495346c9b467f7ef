import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SceneResult } from '../lab/demo-scenes.js'
import { whyNoLab } from '../lab/requirements.js'
import { compiled } from '../lab/root.js'

const why = whyNoLab({ tun: true })
const DEMO = compiled('test/lab/demo')
const NOBODY = 65_534

const namespacesOf = (pid: number): string[] =>
  readdirSync('/run/netns').filter((name) => name.startsWith(`sally-${pid}-`))

/** Processes in the namespaces of a demo with this process id. */
const processesOf = (pid: number): string[] =>
  namespacesOf(pid).flatMap((name) =>
    spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter((line) => line !== ''),
  )

/** What has ended, and whom nobody has asked for its exit status yet, does not run. */
function isRunning(process: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${process}/status`, 'latin1'))
  } catch {
    return false
  }
}

/** The lab's folder is what its daemons have in their arguments. */
function folderOf(process: string): string | undefined {
  return /\/[^\0]*\/sally-[\w-]+/.exec(readFileSync(`/proc/${process}/cmdline`, 'latin1'))?.[0]
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once('exit', (status) => resolve(status)))

describe.skipIf(why !== undefined)('npm run demo', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'demo-test-'))
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('shows what protection is worth, and leaves nothing', async () => {
    const json = join(directory, 'demo.json')
    const child = spawn(process.execPath, [DEMO, '--size', '16', '--json', json], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    expect(await ended(child), output).toBe(0)
    expect(output).toMatch(/verdict: PASS/)
    expect(namespacesOf(child.pid!)).toEqual([])

    const document = JSON.parse(readFileSync(json, 'utf8')) as { passed: boolean; scenes: SceneResult[] }
    expect(document.passed).toBe(true)
    const [plain, esp, ah] = document.scenes as [SceneResult, SceneResult, SceneResult]
    for (const scene of document.scenes)
      expect(scene).toMatchObject({ octets: 16 << 20, sha256Equal: true, overrun: 0 })
    expect(plain).toMatchObject({ secretsSeen: plain.secretsPlanted, sha256EqualAfterAttack: false })
    expect(plain.tamperedAccepted).toBeGreaterThan(0)
    expect(esp).toMatchObject({ secretsSeen: 0, tamperedAccepted: 0, sha256EqualAfterAttack: true })
    expect(ah).toMatchObject({
      secretsSeen: ah.secretsPlanted,
      tamperedAccepted: 0,
      sha256EqualAfterAttack: true,
    })
    for (const scene of [esp, ah]) {
      expect(scene.tampered).toBeGreaterThan(0)
      expect(scene.icvFailures).toBe(scene.tampered)
      expect(scene.firstProtectedMs).toBeGreaterThan(0)
      expect(scene.firstProtectedMs).toBeLessThan(5_000)
    }
  }, 90_000)

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s in the middle leaves nothing',
    async (signal) => {
      const child = spawn(process.execPath, [DEMO, '--size', '64'], { stdio: ['ignore', 'pipe', 'inherit'] })
      await new Promise<void>((resolve) => {
        let output = ''
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          output += text
          if (output.includes('2/3')) setTimeout(resolve, 1_500)
        })
      })
      const processes = processesOf(child.pid!)
      const folders = processes.flatMap((pid) => folderOf(pid) ?? [])
      expect(namespacesOf(child.pid!)).toHaveLength(3)
      expect(processes.length).toBeGreaterThanOrEqual(3)
      expect(folders.length).toBeGreaterThanOrEqual(2)
      child.kill(signal)
      expect(await ended(child)).toBe(signal === 'SIGINT' ? 130 : 143)
      expect(namespacesOf(child.pid!)).toEqual([])
      // Whoever is killed at the very end still gives its memory back.
      await expect.poll(() => processes.filter(isRunning), { timeout: 2_000 }).toEqual([])
      expect(folders.filter((folder) => existsSync(folder))).toEqual([])
    },
    60_000,
  )

  test('without root it says so', () => {
    const r = spawnSync(process.execPath, [DEMO], { encoding: 'utf8', uid: NOBODY, gid: NOBODY, cwd: '/' })
    expect(r.status).toBe(1)
    expect(r.stderr).toMatch(/cannot run here.*root/s)
  })
})
