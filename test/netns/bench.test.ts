import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { SECTIONS } from '../../bench/figures.js'
import { IKE_SUBJECTS, missing } from '../../bench/ike/subjects.js'
import { SECTION_TITLES } from '../../bench/report/tables.js'
import { type Baseline, baselineSchema, readJson, resultsSchema } from '../../bench/results.js'
import { namespacesOf } from '../lab/namespaces.js'
import { whyNoLab } from '../lab/requirements.js'
import { compiled } from '../lab/root.js'

/**
 * Octets of live heap a handshake, over the second hundred of them: compiled code and filled caches are up to 2 KiB of it, and an IKE SA
 * that stays with its keys and messages would be more than all of it.
 */
const GROWTH_MAX = 4096
const charon = IKE_SUBJECTS.some((s) => s.daemon === 'charon' && missing(s) === undefined)
const why = whyNoLab({ tun: true, programs: ['iperf3', 'ping'] })

describe.skipIf(why !== undefined)('npm run bench', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sally-bench-'))
  const [json, report, baseline] = ['out.json', 'out.html', 'baseline.json'].map((n) => join(folder, n)) as [
    string,
    string,
    string,
  ]
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const bench = (...args: string[]): { status: number | null; output: string; pid: number } => {
    const r = spawnSync(process.execPath, [compiled('bench/main'), ...args, '--report', report], {
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    })
    return { status: r.status, output: r.stdout + r.stderr, pid: r.pid }
  }

  test('every section measures, and leaves figures, a report, and nothing in the system', () => {
    const { status, output, pid } = bench(
      ...['--only', SECTIONS.join(), '--rounds', '1', '--seconds', '0.1', '--mtu', '1500'],
      ...[
        '--contenders',
        `openssl UDP,plain TCP,sallyport IKEv2${charon ? ',strongSwan IKEv2' : ''}`,
        '--handshakes',
        '200',
        '--peers',
        '20',
        '--memory',
        '16',
        '--dirty',
        'heavy',
        '--soak-seconds',
        '2',
      ],
      ...['--json', json, '--save-baseline', baseline],
    )
    expect(status, output).toBe(0)
    const { figures, series, absences } = readJson(json, resultsSchema)
    expect(absences).toEqual([])
    expect([...new Set(figures.map((f) => f.section))].sort()).toEqual([...SECTIONS].sort())
    for (const figure of figures) expect(figure.values, figure.metric).toHaveLength(1)
    const value = (subject: string, metric: string): number =>
      figures.find((f) => f.subject === subject && f.metric === metric)!.values[0]!
    const ours = 'sallyport openssl UDP'
    expect(value(ours, 'one TCP stream')).toBeGreaterThan(0.01)
    expect(value(ours, 'one TCP stream: CPU of the sending gateway')).toBeGreaterThan(0)
    expect(value(ours, '64 octets, window')).toBeGreaterThan(100)
    expect(value(ours, 'UDP 1 octet, p99')).toBeGreaterThan(value(ours, 'UDP 1 octet, p50'))
    // All of the memory goes over at least once, and what the guest dirties again.
    expect(value('plain TCP', 'heavy: sent')).toBeGreaterThan(16)
    expect(value(ours, 'heavy: total time')).toBeGreaterThan(0)
    expect(value('a rekey every second', 'load: SAs made')).toBeGreaterThanOrEqual(1)
    for (const subject of ['sallyport IKEv2', 'sallyport IKEv2, pre-phase, ML-KEM-768']) {
      expect(value(subject, 'one after another: until the SA is up')).toBeGreaterThan(0)
      for (const title of ['one after another', '20 peers at once']) {
        expect(value(subject, `${title}: SAs left`)).toBe(0)
        expect(value(subject, `${title}: descriptors more`)).toBe(0)
      }
      expect(value(subject, 'one after another: live heap, growth a handshake')).toBeLessThan(GROWTH_MAX)
    }
    if (charon) expect(value('strongSwan IKEv2', '20 peers at once: SAs left')).toBe(0)
    expect(series[0]!.points.length).toBeGreaterThanOrEqual(2)
    const html = readFileSync(report, 'utf8')
    for (const section of SECTIONS) expect(html).toContain(SECTION_TITLES[section])
    expect(namespacesOf(`sally-${pid}-`)).toEqual([])
  }, 240_000)

  test('one of ours that does not start is a failure, not a line among the figures', () => {
    const { status, output } = bench(
      ...['--only', 'ike', '--rounds', '1', '--seconds', '0.1', '--handshakes', '10', '--peers', '1001'],
      ...['--contenders', 'sallyport IKEv2, pre-phase, ML', '--json', join(folder, 'failed.json')],
    )
    expect(output).toMatch(/left out: sallyport IKEv2, pre-phase, ML-KEM-768, ike: .*did not start/)
    expect(output).toContain('bench: sallyport IKEv2, pre-phase, ML-KEM-768 failed in the section ike')
    expect(status).toBe(1)
  }, 120_000)

  test('--check passes on its own baseline and fails on one that promised more', () => {
    const stored = readJson(baseline, baselineSchema)
    expect(Object.keys(stored.ratios).length).toBeGreaterThan(0)
    expect(bench('--load', json, '--check', baseline)).toMatchObject({ status: 0 })
    const name = Object.keys(stored.ratios)[0]!
    const doctored: Baseline = { ...stored, ratios: { ...stored.ratios, [name]: stored.ratios[name]! * 1.2 } }
    writeFileSync(baseline, JSON.stringify(doctored))
    const { status, output } = bench('--load', json, '--check', baseline)
    expect(status).toBe(1)
    expect(output).toMatch(/-17 % +│ +dropped/)
    expect(output).toContain('check failed: 1 of ')
  })

  test('says what is wrong with its input', () => {
    writeFileSync(json, '{"format": 2}')
    expect(bench('--load', json)).toMatchObject({ status: 1, output: expect.stringContaining('out.json') })
    expect(bench('--load', join(folder, 'none'))).toMatchObject({
      status: 1,
      output: expect.stringMatching(/none: ENOENT/),
    })
    expect(bench('--contenders', 'nobody', '--only', 'rig')).toMatchObject({
      status: 1,
      output: expect.stringContaining('there are: no gateway, C limit, sallyport'),
    })
    expect(bench('--only', 'nothing').output).toMatch(/expected some of engines, pipeline/)
    expect(bench('--rounds', '1.5').output).toMatch(/expected a whole number from 1/)
  })
})
