import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Gateway } from '../test/lab/gateway.js'
import { ADDRESSES, type Lab, other } from '../test/lab/lab.js'

const { a, b } = ADDRESSES

/** A way to connect the migration addresses of the lab's two hosts over a cable. */
export interface Contender {
  readonly name: string
  /** Why it cannot take part here; undefined when it can. */
  missing(): string | undefined
  /** Connects the hosts; whatever it starts ends with the lab. */
  connect(lab: Lab): Promise<void>
}

const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

/** Waits until a packet comes through. */
async function connected(lab: Lab, name: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const ping = ['ping', '-c', '1', '-W', '1', '-I', a.inner4, b.inner4]
    if (spawnSync('ip', ['netns', 'exec', lab.namespace('a'), ...ping]).status === 0) return
    await sleep(250)
  }
  throw new Error(`${name}: no connection`)
}

function protectedAddresses(lab: Lab): void {
  for (const side of ['a', 'b'] as const)
    lab.exec(side, 'ip', 'address', 'add', `${ADDRESSES[side].inner4}/32`, 'dev', 'lo')
}

/** No gateway: a route, and the wire. */
export const plain: Contender = {
  name: 'no gateway',
  missing: () => undefined,
  async connect(lab) {
    lab.routeUnprotected()
    await connected(lab, 'no gateway')
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
    async connect(lab) {
      await Gateway.pair(lab, {
        log: { level: 'warn' },
        dataplane: { engine: o.engine },
        peer: { encapsulation: o.encapsulation },
        child: { protocol: o.protocol ?? 'esp', proposals: [o.proposal ?? 'aes128gcm16'] },
      })
      await connected(lab, name)
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
  async connect(lab) {
    protectedAddresses(lab)
    for (const side of ['b', 'a'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      const conf = lab.file(
        `charon-${side}/strongswan.conf`,
        `charon { load_modular = no\n load = ${STRONGSWAN_PLUGINS}\n plugins { kernel-libipsec { allow_peer_ts = yes } } }\nswanctl { load = pem pkcs1 x509 openssl random }\n`,
      )
      const swanctl = lab.file(
        `charon-${side}/swanctl.conf`,
        `connections { m { version=2
 local_addrs=${mine.v4}
 remote_addrs=${theirs.v4}
 encap=yes
 proposals=aes128-sha256-x25519
 local { auth=psk
 id=${mine.v4} }
 remote { auth=psk
 id=${theirs.v4} }
 children { c { local_ts=${mine.inner4}/32
 remote_ts=${theirs.inner4}/32
 esp_proposals=aes128gcm16 } } } }
secrets { ike-1 { secret="bench-0123456789abcdef-bench" } }
`,
      )
      const initiate = side === 'a' ? 'swanctl --initiate --child c;' : ''
      const script =
        `mount -t tmpfs tmpfs /run; export STRONGSWAN_CONF=${conf}; /usr/lib/ipsec/charon & ` +
        `sleep 1.5; swanctl --load-all --file ${swanctl}; ${initiate} wait`
      lab.spawn(side, 'bash', ['-c', script], { stdio: 'ignore' })
      await sleep(2_000)
    }
    await connected(lab, 'strongSwan')
  },
}

/** wireguard-go, of which WIREGUARD_GO may name the binary: releases since 2023 have segmentation offload. */
export const wireguardGo: Contender = {
  name: 'wireguard-go',
  missing: () =>
    has(process.env.WIREGUARD_GO ?? 'wireguard-go') && has('wg')
      ? undefined
      : 'wireguard-go and wireguard-tools are not installed (WIREGUARD_GO may name the binary)',
  async connect(lab) {
    protectedAddresses(lab)
    const program = process.env.WIREGUARD_GO ?? 'wireguard-go'
    const keys = Object.fromEntries(
      (['a', 'b'] as const).map((side) => {
        const secret = spawnSync('wg', ['genkey'], { encoding: 'utf8' }).stdout
        const publicKey = spawnSync('wg', ['pubkey'], { input: secret, encoding: 'utf8' }).stdout.trim()
        return [side, { file: lab.file(`wg-${side}`, secret), publicKey }]
      }),
    ) as Record<'a' | 'b', { file: string; publicKey: string }>
    for (const side of ['a', 'b'] as const) {
      const [mine, theirs] = [ADDRESSES[side], ADDRESSES[other(side)]]
      const device = `wg${side}`
      lab.spawn(side, program, ['-f', device], { stdio: 'ignore' })
      await sleep(700)
      const peer = ['peer', keys[other(side)].publicKey, 'allowed-ips', `${theirs.inner4}/32`]
      const own = ['private-key', keys[side].file, 'listen-port', '51820']
      lab.exec(side, 'wg', 'set', device, ...own, ...peer, 'endpoint', `${theirs.v4}:51820`)
      lab.exec(side, 'ip', 'link', 'set', device, 'mtu', String(lab.mtu - 80), 'up')
      lab.exec(side, 'ip', 'route', 'add', `${theirs.inner4}/32`, 'dev', device, 'src', mine.inner4)
    }
    await connected(lab, 'wireguard-go')
  },
}
