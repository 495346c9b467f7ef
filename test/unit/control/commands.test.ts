import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fetchStatus } from '../../../src/cli/commands/status.js'
import { formatStatus } from '../../../src/cli/status-text.js'
import { ControlClient } from '../../../src/daemon/control/client.js'
import { controlCommands, EVENTS, piecesOf } from '../../../src/daemon/control/commands.js'
import { ControlServer } from '../../../src/daemon/control/server.js'
import { listSas, UniqueIds } from '../../../src/daemon/control/vici-status.js'
import { FakeGateway, STATUS } from './fake-gateway.js'

let folder: string
let path: string
let server: ControlServer
const gateway = new FakeGateway()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-commands-'))
  path = join(folder, 'control')
  server = await ControlServer.open({
    path,
    commands: controlCommands(gateway),
    events: EVENTS,
    log: () => undefined,
  })
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

async function client<T>(use: (c: ControlClient) => Promise<T>): Promise<T> {
  const c = await ControlClient.connect(path)
  try {
    return await use(c)
  } finally {
    c.close()
  }
}

describe('commands', () => {
  test('version and stats', async () => {
    expect(await client((c) => c.request('version'))).toMatchObject({ daemon: 'sallyport', version: '1.2.3' })
    expect(await client((c) => c.request('stats'))).toMatchObject({
      uptime: { running: '3723 seconds' },
      ikesas: { total: '1', 'half-open': '0' },
    })
  })

  test('list-sas has strongSwan’s shape', async () => {
    const events = await client((c) => c.stream('list-sas', 'list-sa'))
    expect(events).toHaveLength(2)
    expect(events[0]).toEqual({
      'dom0-b': {
        uniqueid: '1',
        version: '1',
        state: 'ESTABLISHED',
        'local-host': '192.0.2.1',
        'local-port': '4500',
        'local-id': 'dom0-a.example',
        'remote-host': '192.0.2.2',
        'remote-port': '4500',
        'remote-id': 'dom0-b.example',
        initiator: 'yes',
        'initiator-spi': '0011223344556677',
        'responder-spi': '8899aabbccddeeff',
        'nat-any': 'yes',
        'encr-alg': 'AES_CBC',
        'encr-keysize': '256',
        'integ-alg': 'HMAC_SHA2_256_128',
        'prf-alg': 'PRF_HMAC_SHA2_256',
        'dh-group': 'ECP_256',
        established: '62',
        'reauth-time': '28000',
        'life-time': '28700',
        'child-sas': {
          'migration-2': {
            name: 'migration',
            uniqueid: '2',
            reqid: '1',
            state: 'INSTALLED',
            mode: 'TUNNEL',
            protocol: 'ESP',
            encap: 'yes',
            'spi-in': 'c0000001',
            'spi-out': '0a000002',
            'encr-alg': 'AES_GCM_16',
            'encr-keysize': '128',
            esn: '1',
            'bytes-in': '1000',
            'packets-in': '10',
            'use-in': '3',
            'bytes-out': '2000',
            'packets-out': '20',
            'rekey-time': '3000',
            'life-time': '3539',
            'install-time': '61',
            'local-ts': ['10.88.1.1/32'],
            'remote-ts': ['10.88.2.1/32'],
          },
        },
      },
    })
    // swanctl prints the IKE SA when it comes to its children: they must come last.
    expect(Object.keys(events[0]!['dom0-b'] as object).at(-1)).toBe('child-sas')
    expect(events[1]).toMatchObject({
      'dom0-c': { state: 'MANUAL', 'child-sas': { 'm-4': { protocol: 'AH' } } },
    })
  })

  test('list-sas and list-conns for one peer', async () => {
    expect(await client((c) => c.stream('list-sas', 'list-sa', { ike: 'dom0-c' }))).toHaveLength(1)
    expect(await client((c) => c.stream('list-sas', 'list-sa', { ike: 'x' }))).toHaveLength(0)
    expect(await client((c) => c.stream('list-conns', 'list-conn', { ike: 'dom0-b' }))).toMatchObject([
      { 'dom0-b': { version: 'IKEv1', children: { migration: { mode: 'TUNNEL' } } } },
    ])
  })

  test('an SA keeps its number while it lives', () => {
    const ids = new UniqueIds()
    expect([...ids.assign(['a', 'b']).values()]).toEqual([1, 2])
    expect([...ids.assign(['b', 'c']).values()]).toEqual([2, 3])
    expect([...ids.assign(['a']).values()]).toEqual([4])
    expect(listSas(STATUS, ids)).toHaveLength(2)
  })

  test('a second key exchange has a key of its own, as strongSwan 6 has it', () => {
    const [peer] = STATUS.peers
    const [sa] = peer!.ike!.sas
    const proposal = 'aes256gcm16-prfsha384-x25519-ke1_mlkem768'
    const hybrid = { ...peer!, ike: { ...peer!.ike!, sas: [{ ...sa!, proposal }] } }
    const [listed] = listSas({ ...STATUS, peers: [hybrid] }, new UniqueIds())
    expect(listed!['dom0-b']).toMatchObject({ 'dh-group': 'CURVE_25519', ke1: 'ML_KEM_768' })
  })

  test('initiate and terminate pass names and waits on', async () => {
    gateway.asked.length = 0
    await client((c) => c.request('initiate', { child: 'migration', timeout: '5000' }))
    await client((c) => c.request('initiate', { ike: 'dom0-b', timeout: '-1' }))
    await client((c) => c.request('initiate', { ike: 'dom0-b', child: '' }))
    await client((c) => c.request('terminate', { ike: 'dom0-b' }))
    expect(gateway.asked).toEqual([
      ['initiate', undefined, 'migration', 5000],
      ['initiate', 'dom0-b', undefined, 0],
      ['initiate', 'dom0-b', '', 120_000],
      ['terminate', 'dom0-b', undefined, 120_000],
    ])
    await expect(client((c) => c.request('initiate', { child: 'none' }))).rejects.toThrow(
      'no child is called none',
    )
    await expect(client((c) => c.request('initiate', { timeout: 'x' }))).rejects.toThrow(/milliseconds/)
    await expect(client((c) => c.request('terminate', { 'ike-id': '1' }))).rejects.toThrow(/by name/)
  })

  test('rekey says how many children it is about', async () => {
    gateway.asked.length = 0
    expect(await client((c) => c.request('rekey', { child: 'migration' }))).toMatchObject({ matches: '1' })
    expect(gateway.asked).toEqual([['rekey', undefined, 'migration']])
    await expect(client((c) => c.request('rekey', { child: 'down' }))).rejects.toThrow('no SA to replace')
    await expect(client((c) => c.request('rekey', { 'child-id': '1' }))).rejects.toThrow(/by name/)
  })

  test('shutdown is answered', async () => {
    gateway.asked.length = 0
    await client((c) => c.request('sallyport-shutdown'))
    expect(gateway.asked).toEqual([['shutdown']])
  })
})

describe('status', () => {
  test('comes through the socket as it is', async () => {
    expect(await fetchStatus(path)).toEqual(JSON.parse(JSON.stringify(STATUS)))
  })

  test('large ones go in pieces, whatever characters are in them', () => {
    const status = { text: 'ä€😀'.repeat(50_000) }
    const pieces = piecesOf(status)
    expect(pieces.length).toBeGreaterThan(10)
    expect(pieces.every((p) => Buffer.byteLength(p) <= 65_535)).toBe(true)
    expect(JSON.parse(pieces.join(''))).toEqual(status)
  })

  test('as people read it', () => {
    const text = formatStatus(STATUS)
    expect(text).toContain('sallyport 1.2.3, pid 42, up 1h 2m')
    expect(text).toMatch(/dom0-b\s+192\.0\.2\.2\s+dom0-b\.example\s+hardened 0123456789abcdef\s+established/)
    expect(text).toMatch(/in\s+0xc0000001\s+AES_GCM_16-128\/ESN\/UDP\s+10\s+1000 B\s+1m 1s\s+58m 59s/)
    expect(text).toMatch(/out\s+0x00001001\s+HMAC_SHA2_256_128/)
    expect(text).toMatch(/last error of dom0-d\s+pre-phase: no answer \(30s ago\)/)
    expect(text).toMatch(/icv\s+12\nreplayed\s+3/)
    expect(text).toMatch(/prephase\.bad-mac\s+2/)
  })
})

const swanctlThere = (() => {
  try {
    execFileSync('swanctl', ['--help'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.skipIf(!swanctlThere)('strongSwan’s swanctl', () => {
  const swanctl = async (...args: string[]) =>
    (await promisify(execFile)('swanctl', [...args, '--uri', `unix://${path}`])).stdout

  test('--list-sas', async () => {
    const out = await swanctl('--list-sas')
    expect(out).toContain('dom0-b: #1, ESTABLISHED, IKEv1, 0011223344556677_i* 8899aabbccddeeff_r')
    expect(out).toContain("local  'dom0-a.example' @ 192.0.2.1[4500]")
    expect(out).toContain('AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256')
    expect(out).toMatch(/migration: #2, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-128\/ESN/)
    expect(out).toMatch(/in {2}c0000001, +1000 bytes, +10 packets, +3s ago/)
    expect(out).toMatch(/out 0a000002, +2000 bytes, +20 packets/)
    expect(out).toContain('local  10.88.1.1/32')
    expect(out).toMatch(/m: #4, reqid 2, INSTALLED, TRANSPORT, AH:/)
  })

  test('--list-conns, --version, --stats', async () => {
    expect(await swanctl('--list-conns')).toMatch(
      /dom0-b: IKEv1[\s\S]*migration: TUNNEL, rekeying every 3600s/,
    )
    expect(await swanctl('--version', '--daemon').catch(() => swanctl('--version'))).toMatch(
      /swanctl|sallyport/,
    )
    expect(await swanctl('--stats')).toMatch(/IKE_SAs: 1 total, 0 half-open/)
  })

  test('--initiate and --terminate', async () => {
    expect(await swanctl('--initiate', '--child', 'migration')).toContain('initiate completed successfully')
    gateway.asked.length = 0
    expect(await swanctl('--initiate', '--ike', 'dom0-b', '--child', '')).toContain('completed successfully')
    expect(gateway.asked).toEqual([['initiate', 'dom0-b', '', 120_000]])
    expect(await swanctl('--terminate', '--ike', 'dom0-b')).toContain('terminate completed successfully')
    expect(await swanctl('--rekey', '--child', 'migration')).toContain('rekey completed successfully')
    await expect(swanctl('--initiate', '--child', 'none')).rejects.toThrow(
      /initiate failed: no child is called none/,
    )
  })
})
