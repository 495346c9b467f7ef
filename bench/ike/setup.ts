import { createHash } from 'node:crypto'
import { stringify } from 'yaml'
import { controlSocket } from '../../test/lab/gateway.js'
import type { Lab, Side } from '../../test/lab/lab.js'
import { ipBatch } from '../../test/lab/run.js'
import { CHARON, type IkeSubject } from './subjects.js'

// Addresses, names and configurations: one hub on host b, and its peers, all on host a.

export const HUB = '198.19.0.1'
const HUB_INNER = '10.99.0.1'
const HUB_ID = 'hub.example'
/** kernel-libipsec agrees to extended sequence numbers and has none. */
export const ESP = 'aes128gcm16-noesn'

/** One peer of the hub, from 1. */
export interface Spoke {
  readonly name: string
  readonly address: string
  readonly inner: string
  readonly id: string
  /** 32 octets; both ends' alone. */
  readonly key: Uint8Array
}

export function spoke(i: number): Spoke {
  const low = `${i >> 8}.${i & 0xff}`
  const key = createHash('sha256').update(`peer ${i}`).digest()
  return { name: `host-${i}`, address: `198.18.${low}`, inner: `10.77.${low}`, id: `host-${i}.example`, key }
}

export const spokes = (n: number): Spoke[] => Array.from({ length: n }, (_, i) => spoke(i + 1))

/** Gives both hosts the addresses. */
export function addAddresses(lab: Lab, n: number): void {
  ipBatch(lab.namespace('b'), [
    `address add ${HUB}/15 dev underlay`,
    // charon wants to have what it protects.
    `address add ${HUB_INNER}/32 dev lo`,
  ])
  ipBatch(
    lab.namespace('a'),
    spokes(n).flatMap((s) => [
      `address add ${s.address}/15 dev underlay`,
      `address add ${s.inner}/32 dev lo`,
    ]),
  )
}

/** What the configuration of either daemon says of one connection, from one side. */
interface View {
  readonly name: string
  readonly local: string
  readonly remote: string
  readonly localId: string
  readonly remoteId: string
  readonly localInner: string
  readonly remoteInner: string
  readonly key: Uint8Array
}

function views(side: Side, n: number): View[] {
  return spokes(n).map((s) => {
    const { name, key } = s
    const hub = { address: HUB, inner: HUB_INNER, id: HUB_ID }
    const [mine, theirs] = side === 'b' ? [hub, s] : [s, hub]
    return {
      ...{ name, key, local: mine.address, remote: theirs.address },
      ...{ localId: mine.id, remoteId: theirs.id, localInner: mine.inner, remoteInner: theirs.inner },
    }
  })
}

/** Names of the connection and the child, as the control sockets of both daemons know them. */
export const connectionName = (i: number): string => spoke(i).name
export const childName = (i: number): string => `child-${i}`

/** `sallyport up`'s configuration. */
export function sallyportConfig(lab: Lab, side: Side, subject: IkeSubject, n: number): string {
  const peers = views(side, n).map((v, i) => [
    v.name,
    {
      ...{ local: v.local, remote: v.remote, local_id: v.localId, id: v.remoteId },
      key_file: lab.file(`keys/${v.name}`, `${Buffer.from(v.key).toString('base64')}\n`),
      ...{ dynamic_psk: subject.dynamicPsk, encapsulation: 'udp' },
      // Who asks whether an idle peer is alive is not what is compared.
      ike: { version: subject.version, proposals: subject.proposals, dpd: 'off' },
      children: {
        [childName(i + 1)]: {
          ...{ protocol: 'esp', mode: 'tunnel', proposals: [ESP] },
          ...{ local: [v.localInner], remote: [v.remoteInner] },
        },
      },
    },
  ])
  const id = side === 'b' ? HUB_ID : 'hosts.example'
  return stringify({
    host: { id, state: lab.path(`${side}.state`), control: controlSocket(lab, side) },
    tun: { name: 'sally0' },
    log: { level: 'warn', format: 'json' },
    dataplane: { engine: 'auto', lanes: 1 },
    peers: Object.fromEntries(peers),
  })
}

const PLUGINS =
  'kdf drbg random nonce openssl hmac sha1 sha2 aes gcm pem pkcs1 x509 kernel-libipsec kernel-netlink ' +
  'socket-default vici updown'

export interface CharonFiles {
  readonly command: string
  readonly env: Readonly<Record<string, string>>
  /** For swanctl. */
  readonly connections: string
}

/** charon as Debian sets it up: cookies under load, and what else is there by default, included. */
export function charonFiles(lab: Lab, side: Side, subject: IkeSubject, n: number): CharonFiles {
  const conf = lab.file(
    `charon-${side}/strongswan.conf`,
    `charon {
  load_modular = no
  load = ${PLUGINS}
  plugins {
    kernel-libipsec { allow_peer_ts = yes }
    vici { socket = unix://${controlSocket(lab, side)} }
  }
}
swanctl { load = pem pkcs1 x509 openssl random }
`,
  )
  const all = views(side, n)
  const connections = all.map(
    (v, i) => `${v.name} {
  version = ${subject.version}
  local_addrs = ${v.local}
  remote_addrs = ${v.remote}
  encap = yes
  proposals = ${subject.proposals.join(',')}
  local { auth = psk\n id = ${v.localId} }
  remote { auth = psk\n id = ${v.remoteId} }
  children { ${childName(i + 1)} { local_ts = ${v.localInner}/32\n remote_ts = ${v.remoteInner}/32\n esp_proposals = ${ESP} } }
}`,
  )
  const secrets = all.map(
    (v, i) =>
      `ike-${i + 1} { id-1 = ${v.localId}\n id-2 = ${v.remoteId}\n secret = 0s${Buffer.from(v.key).toString('base64')} }`,
  )
  return {
    // Its files below /run shall not be in the way of another's.
    command: `mount -t tmpfs tmpfs /run && exec ${CHARON}`,
    env: { STRONGSWAN_CONF: conf },
    connections: lab.file(
      `charon-${side}/swanctl.conf`,
      `connections {\n${connections.join('\n')}\n}\nsecrets {\n${secrets.join('\n')}\n}\n`,
    ),
  }
}
