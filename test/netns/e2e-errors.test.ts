import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings, gatewayConfig, makeKey } from '../lab/gateway.js'
import { Lab, type Side } from '../lab/lab.js'
import { withHidden } from '../lab/private-mounts.js'
import { whyNoLab } from '../lab/requirements.js'
import { SALLYPORT } from '../lab/root.js'

const why = whyNoLab({ tun: true })
const NOBODY = 65_534

interface Outcome {
  readonly status: number | null
  readonly output: string
}

describe.skipIf(why !== undefined)('what the operator is told', () => {
  let lab: Lab
  let gateways: Gateway[] = []

  beforeAll(async () => {
    lab = await Lab.create()
    makeKey(lab)
    // A user who is not root must be able to come to the configuration.
    chmodSync(lab.directory, 0o755)
  })
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    gateways = []
  })
  afterAll(() => lab.close())

  /** Runs `sallyport up` on dom0-a to its end, as a user would. */
  function up(config: string, user?: number): Outcome {
    const file = lab.file('case.yaml', config)
    chmodSync(file, 0o644)
    const r = spawnSync(
      'ip',
      ['netns', 'exec', lab.namespace('a'), process.execPath, SALLYPORT, 'up', '-c', file],
      { encoding: 'utf8', timeout: 15_000 },
    )
    if (user === undefined) return { status: r.status, output: `${r.stdout}${r.stderr}` }
    const asUser = spawnSync(process.execPath, [SALLYPORT, 'up', '-c', file], {
      encoding: 'utf8',
      timeout: 15_000,
      uid: user,
      gid: user,
      cwd: '/',
    })
    return { status: asUser.status, output: `${asUser.stdout}${asUser.stderr}` }
  }

  /** Octets of a key must not be in what anybody is shown. */
  function tellsNoKey({ output }: Outcome): void {
    const secret = readFileSync(lab.path('ab.key'), 'utf8').trim().split('\n').at(-1)!
    expect(output).not.toContain(secret.slice(0, 12))
  }

  const config = (settings: GatewaySettings = {}): string => gatewayConfig(lab, 'a', settings)

  test('a key file that is not there', () => {
    const outcome = up(config({ peer: { key_file: 'absent.key' } }))
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(/case\.yaml:\d+.*key_file.*absent\.key does not exist.*sallyport genkey/s)
  })

  test('a key file that this user cannot read', () => {
    const path = lab.file('root-only.key', readFileSync(lab.path('ab.key')))
    const outcome = up(config({ peer: { key_file: path } }), NOBODY)
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(/root-only\.key cannot be read by this user/)
  })

  test.each([
    ['group', 0o640],
    ['world', 0o604],
  ])('a key file that the %s can read', (_, mode) => {
    const path = lab.file('loose.key', readFileSync(lab.path('ab.key')))
    chmodSync(path, mode)
    const outcome = up(config({ peer: { key_file: path } }))
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(new RegExp(`loose\\.key.*mode 0${mode.toString(8)}.*chmod 600`, 's'))
    tellsNoKey(outcome)
  })

  test('a key that is too short', () => {
    const path = lab.file('short.key', 'c2hvcnQ=\n')
    const outcome = up(config({ peer: { key_file: path } }))
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(/key_file.*octets instead of 32/s)
    expect(outcome.output).not.toContain('c2hvcnQ')
  })

  test('no CAP_NET_ADMIN', () => {
    const path = lab.file('mine.key', readFileSync(lab.path('ab.key')))
    chownSync(path, NOBODY, NOBODY)
    const outcome = up(config({ peer: { key_file: path } }), NOBODY)
    rmSync(path)
    expect(outcome.status).toBe(1)
    expect(outcome.output).toMatch(/CAP_NET_ADMIN.*missing.*run as root/s)
  })

  test('no TUN', () => {
    const outcome = withHidden('/dev/net', () => up(config()))
    expect(outcome.status).toBe(1)
    expect(outcome.output).toMatch(/\/dev\/net\/tun is missing.*modprobe tun/s)
  })

  test.each([500, 4500])('port %i in use', async (port) => {
    const script = `require('node:dgram').createSocket('udp4').bind(${port}, '192.0.2.1', () => console.log('bound'))`
    const other = lab.spawn('a', process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => other.stdout?.once('data', resolve))
    const outcome = up(config())
    other.kill('SIGKILL')
    expect(outcome.status).toBe(1)
    expect(outcome.output).toMatch(new RegExp(`192\\.0\\.2\\.1.*${port}.*(EADDRINUSE|in use)`, 's'))
    expect(lab.exec('a', 'ip', '-o', 'link')).not.toContain('sally0')
  })

  test('an underlay address that this host does not have', () => {
    const outcome = up(config({ peer: { local: '192.0.2.99' } }))
    expect(outcome.status).toBe(1)
    expect(outcome.output).toMatch(/192\.0\.2\.99/)
    expect(lab.exec('a', 'ip', '-o', 'link')).not.toContain('sally0')
  })

  test('a second daemon for the same host', async () => {
    gateways.push(await Gateway.start(lab, 'a', {}))
    const outcome = up(config())
    expect(outcome.status).toBe(1)
    expect(outcome.output).toMatch(/a\.vici.*(already|runs|running)/s)
    expect((await gateways[0]!.status()).peers).toHaveLength(1)
  })

  test('a mistake in the configuration names file, line, key and expectation', () => {
    const outcome = up(config().replace('protocol: esp', 'protocol: espp'))
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(/case\.yaml:\d+.*protocol.*esp.*ah/s)
  })

  /** Starts both daemons, lets dom0-a begin, and gives what `sallyport status` says on either side. */
  async function negotiate(a: GatewaySettings, b: GatewaySettings, wanted: RegExp, where: Side = 'a'): Promise<void> {
    gateways.push(await Gateway.start(lab, 'b', b))
    gateways.push(await Gateway.start(lab, 'a', { ...a, child: { start: 'start', ...a.child } }))
    const [onB, onA] = gateways as [Gateway, Gateway]
    const told = where === 'a' ? onA : onB
    await told.until(`told of ${wanted}`, (s) => wanted.test(s.peers[0]?.ike?.lastError ?? ''), 30_000)
    const { status, output } = told.cli('status')
    expect(status).toBe(0)
    expect(output).toMatch(wanted)
    for (const gateway of gateways) expect((await gateway.child()).sas).toEqual([])
  }

  const otherKey = (): GatewaySettings => ({ peer: { key_file: makeKey(lab, 'other.key') } })

  test('another K_ab: the one who is asked says so', () => negotiate({}, otherKey(), /keys of the two hosts differ/, 'b'), 60_000)

  test('another K_ab: the one who asks says so', () => negotiate(otherKey(), {}, /no answer.*key|key.*no answer/is), 60_000)

  test('another plain PSK', () => {
    const plain = { dynamic_psk: 'off' }
    const other = otherKey()
    return negotiate({ peer: plain }, { peer: { ...plain, ...other.peer } }, /key/i)
  }, 60_000)

  test('another peer identity', () => {
    writeFileSync(lab.path('note'), '')
    return negotiate({}, { peer: { id: 'dom0-x.example' } }, /ident|"dom0-a\.example"|dom0-x\.example/i, 'b')
  }, 60_000)

  test('another identity answers', () =>
    negotiate({ peer: { id: 'dom0-x.example' } }, {}, /ident|dom0-b\.example/i), 60_000)

  test('another scheme of the pre-phase', () =>
    negotiate({ peer: { dynamic_psk: 'classic' } }, {}, /scheme/i, 'b'), 60_000)

  test('no IKE proposal in common', () =>
    negotiate({ ike: { proposals: ['aes128-sha256-modp2048'] } }, { ike: { proposals: ['aes256-sha512-ecp384'] } }, /NO.PROPOSAL.CHOSEN|proposal/i), 60_000)

  test('no child proposal in common', () =>
    negotiate({ child: { proposals: ['aes128gcm16'] } }, { child: { proposals: ['aes256-sha256'] } }, /NO.PROPOSAL.CHOSEN|proposal/i), 60_000)

  test('nobody answers', () => {
    gateways = []
    return Gateway.start(lab, 'a', { child: { start: 'start' } }).then(async (gateway) => {
      gateways.push(gateway)
      await gateway.until('told', (s) => /no answer/i.test(s.peers[0]?.ike?.lastError ?? ''), 30_000)
    })
  }, 60_000)
})
