import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Host, type TwoHosts, UNDERLAY } from '../test/lab/two-hosts.js'

/** Protected addresses behind the tunnel. */
export const PROTECTED = { a: '10.88.1.1', b: '10.88.2.1' } as const

/** A way to connect PROTECTED.a and PROTECTED.b over the wire. */
export interface Contender {
  readonly name: string
  /** Why it cannot take part here; undefined when it can. */
  missing(): string | undefined
  /** Connects the hosts; whatever it starts ends with them. */
  connect(hosts: TwoHosts): Promise<void>
}

const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))
const other = (host: Host): Host => (host === 'a' ? 'b' : 'a')
const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

/** Waits until a packet comes through. */
async function connected(hosts: TwoHosts, name: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const ping = hosts.attempt('a', 'ping', '-c', '1', '-W', '1', '-I', PROTECTED.a, PROTECTED.b)
    if (ping.status === 0) return
    await sleep(250)
  }
  throw new Error(`${name}: no connection`)
}

function protectedAddresses(hosts: TwoHosts): void {
  for (const host of ['a', 'b'] as const)
    hosts.run(host, 'ip', 'addr', 'add', `${PROTECTED[host]}/32`, 'dev', 'lo')
}

/** No gateway: a route, and the wire. */
export const plain: Contender = {
  name: 'no gateway',
  missing: () => undefined,
  async connect(hosts) {
    protectedAddresses(hosts)
    for (const host of ['a', 'b'] as const) {
      const to = other(host)
      hosts.run(
        host,
        'ip',
        'route',
        'add',
        `${PROTECTED[to]}/32`,
        'via',
        UNDERLAY[4][to],
        'src',
        PROTECTED[host],
      )
    }
    await connected(hosts, 'no gateway')
  },
}

export interface SallyportOptions {
  readonly engine: 'auto' | 'ipsec-mb' | 'openssl' | 'noble'
  readonly encapsulation: 'udp' | 'raw'
  readonly protocol?: 'esp' | 'ah'
  readonly proposal?: string
}

/** Two real daemons, keyed by the hardened pre-phase and IKE. */
export function sallyport(name: string, o: SallyportOptions): Contender {
  return {
    name,
    missing: () => undefined,
    async connect(hosts) {
      const key = join(hosts.directory, 'k.key')
      const made = spawnSync(process.execPath, [CLI, 'genkey', '-o', key], { encoding: 'utf8' })
      if (made.status !== 0) throw new Error(made.stderr)
      for (const host of ['a', 'b'] as const) {
        const to = other(host)
        const file = join(hosts.directory, `${host}.yaml`)
        writeFileSync(
          file,
          `host: { id: ${host}.example, state: ${join(hosts.directory, `state-${host}`)}, control: ${join(hosts.directory, `${host}.vici`)} }
tun: { name: sally0, addresses: [${PROTECTED[host]}/32] }
log: { level: info, format: json }
dataplane: { engine: ${o.engine} }
peers:
  peer:
    id: ${to}.example
    local: ${UNDERLAY[4][host]}
    remote: ${UNDERLAY[4][to]}
    key_file: k.key
    encapsulation: ${o.encapsulation}
    children:
      bench:
        protocol: ${o.protocol ?? 'esp'}
        mode: tunnel
        local: [${PROTECTED[host]}/32]
        remote: [${PROTECTED[to]}/32]
        proposals: [${o.proposal ?? 'aes128gcm16'}]
`,
        )
        hosts.start(host, `sallyport-${host}.log`, process.execPath, CLI, 'up', '-c', file)
      }
      await connected(hosts, name)
    },
  }
}

const STRONGSWAN_PLUGINS =
  'kdf drbg random nonce openssl curve25519 hmac sha1 sha2 aes gcm pem pkcs1 x509 kernel-libipsec kernel-netlink ' +
  'socket-default vici updown'

/** strongSwan's userspace backend: ESP in UDP, AES-128-GCM, IKEv2. */
export const strongswan: Contender = {
  name: 'strongSwan kernel-libipsec',
  missing: () =>
    existsSync('/usr/lib/ipsec/charon') &&
    existsSync('/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so')
      ? undefined
      : 'strongswan-charon, strongswan-swanctl and libcharon-extra-plugins are not installed',
  async connect(hosts) {
    protectedAddresses(hosts)
    for (const host of ['b', 'a'] as const) {
      const to = other(host)
      const directory = join(hosts.directory, `charon-${host}`)
      mkdirSync(directory)
      writeFileSync(
        join(directory, 'strongswan.conf'),
        `charon { load_modular = no\n load = ${STRONGSWAN_PLUGINS}\n plugins { kernel-libipsec { allow_peer_ts = yes } } }\nswanctl { load = pem pkcs1 x509 openssl random }\n`,
      )
      writeFileSync(
        join(directory, 'swanctl.conf'),
        `connections { m { version=2
 local_addrs=${UNDERLAY[4][host]}
 remote_addrs=${UNDERLAY[4][to]}
 encap=yes
 proposals=aes128-sha256-x25519
 local { auth=psk
 id=${UNDERLAY[4][host]} }
 remote { auth=psk
 id=${UNDERLAY[4][to]} }
 children { c { local_ts=${PROTECTED[host]}/32
 remote_ts=${PROTECTED[to]}/32
 esp_proposals=aes128gcm16 } } } }
secrets { ike-1 { secret="bench-0123456789abcdef-bench" } }
`,
      )
      const initiate = host === 'a' ? 'swanctl --initiate --child c;' : ''
      hosts.start(
        host,
        `charon-${host}.log`,
        'bash',
        '-c',
        `mount -t tmpfs tmpfs /run; export STRONGSWAN_CONF=${directory}/strongswan.conf; /usr/lib/ipsec/charon & ` +
          `sleep 1.5; swanctl --load-all --file ${directory}/swanctl.conf; ${initiate} wait`,
      )
      await sleep(2_000)
    }
    await connected(hosts, 'strongSwan')
  },
}

/** wireguard-go, of which WIREGUARD_GO may name the binary: releases since 2023 have segmentation offload. */
export const wireguardGo: Contender = {
  name: 'wireguard-go',
  missing: () =>
    has(process.env.WIREGUARD_GO ?? 'wireguard-go') && has('wg')
      ? undefined
      : 'wireguard-go and wireguard-tools are not installed (WIREGUARD_GO may name the binary)',
  async connect(hosts) {
    protectedAddresses(hosts)
    const keys = Object.fromEntries(
      (['a', 'b'] as const).map((host) => {
        const secret = spawnSync('wg', ['genkey'], { encoding: 'utf8' }).stdout
        const publicKey = spawnSync('wg', ['pubkey'], { input: secret, encoding: 'utf8' }).stdout.trim()
        const file = join(hosts.directory, `wg-${host}`)
        writeFileSync(file, secret, { mode: 0o600 })
        return [host, { file, publicKey }]
      }),
    ) as Record<Host, { file: string; publicKey: string }>
    for (const host of ['a', 'b'] as const) {
      const to = other(host)
      hosts.start(host, `wg-${host}.log`, process.env.WIREGUARD_GO ?? 'wireguard-go', '-f', `wg${host}`)
      await sleep(700)
      const peer = ['peer', keys[to].publicKey, 'allowed-ips', `${PROTECTED[to]}/32`]
      const endpoint = ['endpoint', `${UNDERLAY[4][to]}:51820`]
      hosts.run(
        host,
        'wg',
        'set',
        `wg${host}`,
        'private-key',
        keys[host].file,
        'listen-port',
        '51820',
        ...peer,
        ...endpoint,
      )
      hosts.run(host, 'ip', 'link', 'set', `wg${host}`, 'mtu', '1420', 'up')
      hosts.run(host, 'ip', 'route', 'add', `${PROTECTED[to]}/32`, 'dev', `wg${host}`, 'src', PROTECTED[host])
    }
    await connected(hosts, 'wireguard-go')
  },
}
