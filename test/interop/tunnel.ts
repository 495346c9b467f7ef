import { spawnSync } from 'node:child_process'
import { stringify } from 'yaml'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { controlSocket, keyLogOf } from '../lab/gateway.js'
import { ADDRESSES, type Lab, other, type Side } from '../lab/lab.js'

// A tunnel between sallyport (host a) and a daemon of others (host b): what all peers have in common.

export const SECRET = 'interop-0123456789abcdef'

export type Family = 4 | 6

export interface Tunnel {
  readonly version: 1 | 2
  /** Proposals, as sallyport writes them. */
  readonly ike: string
  readonly child: string
  readonly protocol?: 'esp' | 'ah'
  readonly mode?: 'tunnel' | 'transport'
  readonly encapsulation?: 'udp' | 'raw' | 'auto'
  /** Of the underlay. Default 4. */
  readonly outer?: Family
  /** Inside of a tunnel, a child for each. Default: as outside. */
  readonly inner?: readonly Family[]
}

/** A tunnel with a peer that writes proposals in a way of its own: sallyport's first. */
export type Row = Omit<Tunnel, 'ike' | 'child'> & {
  readonly ike: readonly [string, string]
  readonly child: readonly [string, string]
}

export const of = (row: Row): Tunnel => ({ ...row, ike: row.ike[0], child: row.child[0] })

/** For the name of a test. */
export const nameOf = ({
  version,
  ike,
  child,
  protocol = 'esp',
  mode = 'tunnel',
  encapsulation = 'raw',
  outer = 4,
}: Tunnel): string => `IKEv${version} ${ike}, ${encapsulation} ${protocol} ${mode} ${child} over IPv${outer}`

/** Addresses of the underlay, sallyport's first. They are the identities as well. */
export const outerOf = ({ outer = 4 }: Pick<Tunnel, 'outer'>): readonly [string, string] =>
  outer === 4 ? [ADDRESSES.a.v4, ADDRESSES.b.v4] : [ADDRESSES.a.v6, ADDRESSES.b.v6]

export interface Child {
  readonly name: string
  /** Addresses that it protects, sallyport's first. */
  readonly hosts: readonly [string, string]
  /** Length of their prefix. */
  readonly prefix: 32 | 128
}

export function childrenOf(t: Tunnel): readonly Child[] {
  const { outer = 4, mode = 'tunnel' } = t
  const families = mode === 'transport' ? [outer] : (t.inner ?? [outer])
  return families.map((family) => ({
    name: families.length === 1 ? 'interop' : `interop${family}`,
    hosts: mode === 'transport' ? outerOf(t) : innerOf(family),
    prefix: family === 4 ? 32 : 128,
  }))
}

const innerOf = (family: Family): readonly [string, string] =>
  family === 4 ? [ADDRESSES.a.inner4, ADDRESSES.b.inner4] : [ADDRESSES.a.inner6, ADDRESSES.b.inner6]

type Settings = Readonly<Record<string, unknown>>

/** What differs in sallyport's configuration, section by section. */
export interface SallyportSettings {
  readonly host?: Settings
  readonly dataplane?: Settings
  readonly peer?: Settings
  readonly ike?: Settings
  readonly child?: Settings
  /** What is in its file of the pre-shared key. */
  readonly secret?: string
}

/** sallyport's configuration, as YAML; the peer is called `other`. It logs its keys to the folder `keys`. */
export function sallyport(lab: Lab, t: Tunnel, more: SallyportSettings = {}): string {
  const [local, remote] = outerOf(t)
  const children = childrenOf(t)
  const { mode = 'tunnel', protocol = 'esp' } = t
  const addresses = mode === 'transport' ? [] : children.map((c) => `${c.hosts[0]}/${c.prefix}`)
  const childSettings = { protocol, mode, proposals: t.child.split(', '), ...more.child }
  return stringify({
    host: { id: local, state: lab.path('a.state'), control: controlSocket(lab, 'a'), ...more.host },
    log: { level: 'debug', format: 'json' },
    key_log: { directory: keyLogOf(lab, 'keys', 'a') },
    dataplane: { lanes: 1, ...more.dataplane },
    tun: { name: 'sally0', addresses },
    peers: {
      other: {
        ...{ id: remote, local, remote },
        key_file: lab.file('k.psk', `psk: ${more.secret ?? SECRET}\n`),
        dynamic_psk: 'off',
        encapsulation: t.encapsulation ?? 'raw',
        ...more.peer,
        ike: { version: t.version, proposals: t.ike.split(', '), dpd: '2s', ...more.ike },
        children: Object.fromEntries(
          children.map((c) => [c.name, { local: [c.hosts[0]], remote: [c.hosts[1]], ...childSettings }]),
        ),
      },
    },
  })
}

type Peers = Pick<GatewayStatus, 'peers'>
export const ikeSas = (s: Peers): number => s.peers[0]!.ike!.sas.length
export const one = (s: Peers): boolean => ikeSas(s) === 1
/** Each child has a pair, and no other SA. */
export const whole = (s: Peers): boolean => s.peers[0]!.children.every((child) => child.sas.length === 2)
/** Of the newest IKE SA that is up. */
export const ikeSpiOf = (s: Peers): string | undefined =>
  s.peers[0]!.ike!.sas.findLast((sa) => sa.state === 'ESTABLISHED')?.initiatorSpi
/** Of the newest SA of the first child, or of the child of that name. */
export const spiOf = (s: Peers, name?: string): number | undefined =>
  s.peers[0]!.children.find((c) => name === undefined || c.name === name)?.sas.findLast(
    (sa) => sa.direction === 'outbound',
  )?.spi

export interface Pings {
  readonly count?: number
  /** Seconds for each answer. */
  readonly wait?: number
}

/** The arguments of ping, from `side` to the other end of a child. */
export function pingArguments(side: Side, { hosts }: Child, { count = 3, wait = 2 }: Pings = {}): string[] {
  const [from, to] = side === 'a' ? hosts : hosts.toReversed()
  return ['ping', '-c', `${count}`, '-i', '0.1', '-W', `${wait}`, '-I', from!, to!]
}

/** Has sallyport begin: a packet for the child. Nobody can answer it. */
export function knock(lab: Lab, t: Tunnel, side: Side = 'a'): void {
  const argv = pingArguments(side, childrenOf(t)[0]!, { count: 1, wait: 0.2 })
  spawnSync('ip', ['netns', 'exec', lab.namespace(side), ...argv])
}

/** The peer's end of a lab has the addresses inside itself. */
export function addInnerAddresses(lab: Lab, t: Tunnel): void {
  if (t.mode === 'transport') return
  for (const { hosts, prefix } of childrenOf(t))
    lab.exec(
      other('a'),
      'ip',
      'address',
      'replace',
      `${hosts[1]}/${prefix}`,
      'dev',
      'lo',
      ...(prefix === 128 ? ['nodad'] : []),
    )
}
