import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Gateway, type GatewaySettings, gatewayConfig, makeKey } from '../lab/gateway.js'
import { ADDRESSES, Lab, type Side } from '../lab/lab.js'
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
    const command = [process.execPath, SALLYPORT, 'up', '-c', file] as const
    // Only root can go into a namespace; who is not root does not come as far as to need one.
    const inside = ['ip', 'netns', 'exec', lab.namespace('a'), ...command]
    const [program, ...args] = user === undefined ? inside : command
    const who = user === undefined ? {} : { uid: user, gid: user, cwd: '/' }
    const r = spawnSync(program!, args, { encoding: 'utf8', timeout: 15_000, ...who })
    return { status: r.status, output: `${r.stdout}${r.stderr}` }
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
    expect(outcome.output).toMatch(/another daemon answers on the control socket .*a\.vici/)
    expect((await gateways[0]!.status()).peers).toHaveLength(1)
  })

  test('a mistake in the configuration names file, line, key and expectation', () => {
    const outcome = up(config().replace('protocol: esp', 'protocol: espp'))
    expect(outcome.status).toBe(2)
    expect(outcome.output).toMatch(/case\.yaml:\d+.*protocol.*esp.*ah/s)
  })

  /**
   * Starts both daemons, lets dom0-a begin, and waits until the operator of `where` is told: by the last error that
   * `sallyport status` shows, or by a warning in the log.
   */
  async function negotiate(
    a: GatewaySettings,
    b: GatewaySettings,
    where: Side,
    wanted: RegExp,
  ): Promise<void> {
    gateways.push(await Gateway.start(lab, 'b', b))
    gateways.push(await Gateway.start(lab, 'a', { ...a, child: { start: 'start', ...a.child } }))
    const [onB, onA] = gateways as [Gateway, Gateway]
    const gateway = where === 'a' ? onA : onB
    await gateway.until(
      `told of ${wanted}`,
      (s) => wanted.test(s.peers[0]?.ike?.lastError ?? '') || wanted.test(warnings(gateway)),
      10_000,
    )
    for (const side of gateways) expect((await side.child()).sas).toEqual([])
    for (const side of gateways) tellsNoKey({ status: 0, output: side.log() })
  }

  const warnings = (gateway: Gateway): string =>
    gateway
      .log()
      .split('\n')
      .filter((line) => /"level":"(warn|error)"/.test(line))
      .join('\n')

  const otherKey = (): string => makeKey(lab, 'other.key')
  const psk = (scheme: string, more: Record<string, unknown> = {}): GatewaySettings => ({
    peer: { dynamic_psk: scheme, ...more },
  })

  const mismatches: [string, () => GatewaySettings, () => GatewaySettings, Side, RegExp][] = [
    [
      'another K_ab',
      () => ({}),
      () => psk('hardened', { key_file: otherKey() }),
      'b',
      /keys of the two hosts differ/,
    ],
    [
      'another K_ab with the classic scheme',
      () => psk('classic'),
      () => psk('classic', { key_file: otherKey() }),
      'a',
      /keys of the two hosts differ/,
    ],
    [
      'another plain PSK',
      () => psk('off'),
      () => psk('off', { key_file: otherKey() }),
      'b',
      /the peer.s pre-shared key differs from ours/,
    ],
    [
      'another plain PSK, IKEv1',
      () => ({ ...psk('off'), ike: { version: 1 } }),
      () => ({ ...psk('off', { key_file: otherKey() }), ike: { version: 1 } }),
      'b',
      /message 5 does not decrypt: the peer.s pre-shared key differs from ours/,
    ],
    [
      'a peer of another identity asks',
      () => ({}),
      () => ({ peer: { id: 'dom0-x.example' } }),
      'b',
      /identity that no peer at its address has/,
    ],
    [
      'a peer of another identity answers',
      () => ({ peer: { id: 'dom0-x.example' } }),
      () => ({}),
      'a',
      /under another identity than the configured one/,
    ],
    ['classic asks hardened', () => psk('classic'), () => psk('hardened'), 'b', /scheme mismatch/],
    ['hardened asks classic', () => psk('hardened'), () => psk('classic'), 'b', /scheme mismatch/],
    [
      'a plain PSK asks hardened',
      () => psk('off'),
      () => psk('hardened'),
      'b',
      /without a finished pre-phase.*dynamic_psk: off/,
    ],
    ['hardened asks a plain PSK', () => psk('hardened'), () => psk('off'), 'b', /scheme mismatch/],
    [
      'no IKE proposal in common',
      () => ({ ike: { proposals: ['aes128-sha256-modp2048'] } }),
      () => ({ ike: { proposals: ['aes256-sha512-ecp384'] } }),
      'b',
      /NO_PROPOSAL_CHOSEN: encryption: ours aes256, theirs aes128/,
    ],
    [
      'no IKE proposal in common, told to who asks',
      () => ({ ike: { proposals: ['aes128-sha256-modp2048'] } }),
      () => ({ ike: { proposals: ['aes256-sha512-ecp384'] } }),
      'a',
      /NO_PROPOSAL_CHOSEN: encryption: ours aes128, theirs aes256/,
    ],
    [
      'no child proposal in common',
      () => ({ child: { proposals: ['aes128gcm16'] } }),
      () => ({ child: { proposals: ['aes256-sha256'] } }),
      'b',
      /NO_PROPOSAL_CHOSEN: child migration: encryption: ours aes256, theirs aes128gcm16/,
    ],
    [
      'no child for these selectors',
      () => ({ child: { remote: ['10.88.9.0/24'] } }),
      () => ({}),
      'b',
      /TS_UNACCEPTABLE: no child for the peer.s selectors 10\.88\.9\.0\/24/,
    ],
    [
      'no child for these selectors, told to who asks, IKEv1',
      () => ({ child: { remote: ['10.88.9.0/24'] }, ike: { version: 1 } }),
      () => ({ ike: { version: 1 } }),
      'a',
      /INVALID_ID_INFORMATION: remote selectors: ours 10\.88\.9\.0\/24, theirs 10\./,
    ],
  ]

  test.each(mismatches)('%s', (_, a, b, where, wanted) => negotiate(a(), b(), where, wanted), 30_000)

  test('the last error is what status shows', async () => {
    await negotiate(psk('off'), psk('off', { key_file: otherKey() }), 'b', /pre-shared key differs/)
    const { status, output } = gateways[0]!.cli('status')
    expect(status).toBe(0)
    expect(output).toMatch(
      /last error of dom0-a +AUTH does not verify: the peer.s pre-shared key differs from ours \(.* ago\)/,
    )
  }, 30_000)

  /** Starts dom0-a alone, or both with a firewall on dom0-b, and waits for the last error. */
  async function alone(settings: GatewaySettings, wanted: RegExp): Promise<void> {
    const gateway = await Gateway.start(lab, 'a', { ...settings, child: { start: 'start' } })
    gateways.push(gateway)
    const began = performance.now()
    await gateway.until(
      `told of ${wanted}`,
      ({ peers: [peer] }) =>
        wanted.test(peer?.ike?.lastError ?? '') && peer?.ike?.lastErrorAgeSeconds !== undefined,
      10_000,
    )
    expect(performance.now() - began).toBeLessThan(6_000)
  }

  const firewall = (rule: string): (() => void) => {
    lab.exec('b', 'nft', 'add', 'table', 'inet', 'wall')
    lab.exec('b', 'nft', 'add', 'chain', 'inet', 'wall', 'in', '{ type filter hook input priority -300 ; }')
    lab.exec('b', 'nft', 'add', 'rule', 'inet', 'wall', 'in', ...rule.split(' '))
    return () => lab.exec('b', 'nft', 'delete', 'table', 'inet', 'wall')
  }

  test.each([4, 6] as const)(
    'no daemon there, IPv%i',
    async (outer) => {
      await alone({ outer }, /ICMP says that UDP port 500 of \S+ is closed: no IKE daemon serves it there/)
    },
    30_000,
  )

  test('a firewall that refuses', async () => {
    const open = firewall('udp dport 500 reject with icmpx type admin-prohibited')
    try {
      await alone({}, /ICMP says that UDP port 500 of \S+ is filtered/)
    } finally {
      open()
    }
  }, 30_000)

  test('a firewall that says nothing', async () => {
    const open = firewall('udp dport 500 drop')
    try {
      await alone({}, /pre-phase: no answer to step 1 yet: the peer is unreachable/)
    } finally {
      open()
    }
  }, 30_000)

  test('UDP 4500 blocked', async () => {
    const open = firewall('udp dport 4500 drop')
    const plain = { peer: { dynamic_psk: 'off', encapsulation: 'udp' } }
    try {
      gateways.push(await Gateway.start(lab, 'b', plain))
      await alone(plain, /no answer to IKE_\w+ yet: .*UDP 4500 is blocked/)
    } finally {
      open()
    }
  }, 30_000)

  test('ESP filtered while IKE passes', async () => {
    const open = firewall('meta l4proto esp drop')
    const ping = (): unknown =>
      lab.spawn('a', 'ping', ['-c', '40', '-i', '0.3', ADDRESSES.b.inner4], { stdio: 'ignore' })
    try {
      gateways = [...(await Gateway.pair(lab, { peer: { encapsulation: 'raw' } }))]
      ping()
      const wanted = /\d+ packets went out and none has come in: IP protocol 50 \(ESP\) is filtered/
      await gateways[0]!.until('told', (s) => wanted.test(s.peers[0]?.ike?.lastError ?? ''), 25_000)
    } finally {
      open()
    }
  }, 60_000)
})
