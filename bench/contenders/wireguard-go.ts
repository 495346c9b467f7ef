import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { ADDRESSES, other } from '../../test/lab/lab.js'
import { hasCommand } from '../requirements.js'
import { type Contender, connected, INNER, protectedAddresses } from './contender.js'

/** Octets that WireGuard adds to a packet at most, over IPv6. */
const OVERHEAD = 80
const PORT = '51820'

/** wireguard-go, of which WIREGUARD_GO may name the binary: releases since 2023 have segmentation offload. */
export const wireguardGo: Contender = {
  name: 'wireguard-go',
  kind: 'peer',
  missing: () =>
    hasCommand(program()) && hasCommand('wg')
      ? undefined
      : 'wireguard-go and wireguard-tools are not installed (WIREGUARD_GO may name the binary)',
  async connect(lab) {
    protectedAddresses(lab)
    const keys = { a: keyPair(), b: keyPair() }
    for (const side of ['a', 'b'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      const device = `wg${side}`
      lab.spawn(side, program(), ['-f', device], { stdio: 'ignore' })
      await deviceIsThere(lab.namespace(side), device)
      const peer = ['peer', keys[other(side)].publicKey, 'allowed-ips', `${theirs.inner4}/32`]
      const own = ['private-key', lab.file(`wg-${side}`, keys[side].secret), 'listen-port', PORT]
      lab.exec(side, 'wg', 'set', device, ...own, ...peer, 'endpoint', `${theirs.v4}:${PORT}`)
      lab.exec(side, 'ip', 'link', 'set', device, 'mtu', String(lab.mtu - OVERHEAD), 'up')
      lab.exec(side, 'ip', 'route', 'add', `${theirs.inner4}/32`, 'dev', device, 'src', mine.inner4)
    }
    return connected(lab, 'wireguard-go', INNER)
  },
}

const program = (): string => process.env.WIREGUARD_GO ?? 'wireguard-go'

function keyPair(): { secret: string; publicKey: string } {
  const secret = spawnSync('wg', ['genkey'], { encoding: 'utf8' }).stdout
  return { secret, publicKey: spawnSync('wg', ['pubkey'], { input: secret, encoding: 'utf8' }).stdout.trim() }
}

async function deviceIsThere(namespace: string, device: string): Promise<void> {
  for (let i = 0; i < 50; i++) {
    const up = spawnSync('ip', ['netns', 'exec', namespace, 'wg', 'show', device])
    if (up.status === 0) return
    await sleep(100)
  }
  throw new Error(`wireguard-go made no device ${device}`)
}
