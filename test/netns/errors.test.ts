import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { Gateway, type GatewaySettings, gatewayConfig, makeKey } from '../lab/gateway.js'
import { Lab, type Side } from '../lab/lab.js'
import { withHidden } from '../lab/private-mounts.js'
import { missingForLab, whyNoLab } from '../lab/requirements.js'
import { SALLYPORT } from '../lab/root.js'

// A start that fails leaves the host as it was, and a negotiation that fails is told at both ends.

const why = whyNoLab({ tun: true })
const whyNoSetpriv = missingForLab({ programs: ['setpriv'] }).join('; ')

describe.skipIf(why !== undefined)('a start that fails', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.create()
    makeKey(lab)
  })
  afterAll(() => lab.close())

  /** What a daemon could have changed on dom0-a. */
  const hostState = (): Record<string, string> => ({
    // Without the counters and ages that change by themselves.
    links: lab.exec('a', 'ip', '-o', 'link'),
    addresses: lab.exec('a', 'ip', '-br', 'address'),
    routes: ['-4', '-6'].map((f) => lab.exec('a', 'ip', f, 'route', 'show', 'table', 'all')).join(''),
    rules: ['-4', '-6'].map((f) => lab.exec('a', 'ip', f, 'rule')).join(''),
  })

  interface Failure {
    readonly config?: string
    readonly file?: string
    /** Put in front of the command. */
    readonly wrapper?: readonly string[]
  }

  /** Runs `sallyport up` on dom0-a: it must end by itself, say one line, and leave nothing. Returns status and line. */
  function fails({ config, file, wrapper = [] }: Failure): { status: number | null; line: string } {
    const path = file ?? lab.file('case.yaml', config ?? gatewayConfig(lab, 'a'))
    const before = hostState()
    const r = spawnSync(
      'ip',
      ['netns', 'exec', lab.namespace('a'), ...wrapper, process.execPath, SALLYPORT, 'up', '-c', path],
      { encoding: 'utf8', timeout: 15_000 },
    )
    const lines = r.stderr.split('\n').filter((line) => line !== '')
    expect(
      lines.filter((line) => line.startsWith('sallyport: ')),
      r.stderr,
    ).toHaveLength(1)
    expect(r.stderr).not.toMatch(/^ +at /m)
    expect(hostState()).toEqual(before)
    return { status: r.status, line: lines.find((line) => line.startsWith('sallyport: ')) ?? '' }
  }

  test('no configuration file', () => {
    const { status, line } = fails({ file: lab.path('absent.yaml') })
    expect(status).toBe(2)
    expect(line).toMatch(/absent\.yaml.*no such file.*-c FILE/)
  })

  test('a folder instead of a configuration file', () => {
    const { status, line } = fails({ file: lab.directory })
    expect(status).toBe(2)
    expect(line).toMatch(/not a regular file/)
  })

  test('a file that is not YAML', () => {
    const { status, line } = fails({ config: `${gatewayConfig(lab, 'a')}\n  foo: [1, 2` })
    expect(status).toBe(2)
    expect(line).toMatch(/case\.yaml:\d+:\d+: not valid YAML/)
  })

  test('a key that nobody knows', () => {
    const { status, line } = fails({ config: gatewayConfig(lab, 'a', { child: { colour: 'red' } }) })
    expect(status).toBe(2)
    expect(line).toMatch(/case\.yaml:\d+:\d+: .*migration\.colour: unknown key "colour"; expected one of protocol/)
  })

  test('a folder instead of a key file', () => {
    mkdirSync(lab.path('folder.key'))
    const settings = { peer: { key_file: lab.path('folder.key') } }
    const { status, line } = fails({ config: gatewayConfig(lab, 'a', settings) })
    expect(status).toBe(2)
    expect(line).toMatch(/key_file: .*folder\.key is a directory/)
  })

  test('a key file that is not there', () => {
    const { status, line } = fails({ config: gatewayConfig(lab, 'a', { peer: { key_file: 'absent.key' } }) })
    expect(status).toBe(2)
    expect(line).toMatch(/absent\.key does not exist/)
  })

  test('no TUN', () => {
    const { status, line } = withHidden('/dev/net', () => fails({}))
    expect(status).toBe(1)
    expect(line).toMatch(/\/dev\/net\/tun is missing/)
  })

  test.skipIf(whyNoSetpriv !== '').each(['net_admin', 'net_raw', 'net_bind_service'])(
    'root without CAP_%s',
    (capability) => {
      const wrapper = ['setpriv', '--bounding-set', `-${capability}`, '--inh-caps', `-${capability}`]
      const { status, line } = fails({ wrapper })
      expect(status).toBe(1)
      expect(line).toMatch(new RegExp(`CAP_${capability.toUpperCase()} missing`))
    },
  )

  test.each([500, 4500])('UDP port %i in use', async (port) => {
    const script = `require('node:dgram').createSocket('udp4').bind(${port}, '192.0.2.1', () => console.log('bound'))`
    const other = lab.spawn('a', process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await new Promise((resolve) => other.stdout?.once('data', resolve))
      const { status, line } = fails({})
      expect(status).toBe(1)
      expect(line).toMatch(new RegExp(`192\\.0\\.2\\.1.*\\b${port}\\b`))
    } finally {
      other.kill('SIGKILL')
    }
  })
})

describe.skipIf(why !== undefined)('a negotiation that fails is told at both ends', () => {
  let lab: Lab
  let gateways: Partial<Record<Side, Gateway>> = {}
  beforeAll(async () => {
    lab = await Lab.create()
    makeKey(lab)
  })
  afterEach(async () => {
    await Promise.all(Object.values(gateways).map((gateway) => gateway.stop()))
    gateways = {}
  })
  afterAll(() => lab.close())

  const lastError = (gateway: Gateway): string => {
    const { status, output } = gateway.cli('status', '--json')
    expect(status, output).toBe(0)
    return (JSON.parse(output) as GatewayStatus).peers[0]?.ike?.lastError ?? ''
  }

  const psk = (dynamic_psk: string, other = false): GatewaySettings => ({
    peer: { dynamic_psk, ...(other && { key_file: makeKey(lab, 'other.key') }) },
  })
  const cases: [string, () => [GatewaySettings, GatewaySettings], RegExp, RegExp][] = [
    ['K_ab, hardened', () => [psk('hardened'), psk('hardened', true)], /./, /./],
    ['K_ab, classic', () => [psk('classic'), psk('classic', true)], /./, /./],
    ['plain PSK', () => [psk('off'), psk('off', true)], /./, /./],
    ['the identity of who asks', () => [{}, { peer: { id: 'dom0-x.example' } }], /./, /./],
    ['the identity of who answers', () => [{ peer: { id: 'dom0-x.example' } }, {}], /./, /./],
    ['scheme, classic to hardened', () => [psk('classic'), psk('hardened')], /./, /./],
    ['scheme, hardened to classic', () => [psk('hardened'), psk('classic')], /./, /./],
    [
      'IKE proposals',
      () => [
        { ike: { proposals: ['aes128-sha256-modp2048'] } },
        { ike: { proposals: ['aes256-sha512-ecp384'] } },
      ],
      /./,
      /./,
    ],
    [
      'ESP proposals',
      () => [{ child: { proposals: ['aes128gcm16'] } }, { child: { proposals: ['aes256-sha256'] } }],
      /./,
      /./,
    ],
  ]

  test.each(cases)('%s', async (name, settings, asks, answers) => {
    const [a, b] = settings()
    // One negotiation at a time, begun by dom0-a: what dom0-b says, it says as the one that answers.
    gateways.b = await Gateway.start(lab, 'b', b)
    gateways.a = await Gateway.start(lab, 'a', { ...a, child: { start: 'start', ...a.child } })
    const { a: first, b: second } = gateways as Record<Side, Gateway>
    const t0 = performance.now()
    await second.until('told', (s) => answers.test(s.peers[0]?.ike?.lastError ?? '')).catch((e) => console.log(name, 'B SILENT', JSON.stringify(Object.keys(e))))
    await first.until('told', (s) => asks.test(s.peers[0]?.ike?.lastError ?? ''), 25_000).catch(() => console.log(name, 'A SILENT'))
    console.log(name, Math.round(performance.now() - t0), '\n  A:', lastError(first), '\n  B:', lastError(second))
  }, 60_000)
})
