import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { hex } from '../../src/bytes/octets.js'
import type { GatewayStatus } from '../../src/daemon/status.js'
import { readKeySource } from '../../src/replay/keys/key-source.js'
import { controlSocket, keyLogOf } from '../lab/gateway.js'
import { ADDRESSES, type Lab } from '../lab/lab.js'
import { recordedSas } from './peers/recorded-sas.js'

// One child between sallyport (host a) and a daemon whose SAs are recorded, and whether both have the same.

export const SECRET = 'interop-0123456789abcdef'

const { a, b } = ADDRESSES
/** What each child protects, sallyport's first. */
export const HOSTS = { outer: [a.v4, b.v4], tunnel: [a.inner4, b.inner4], transport: [a.v4, b.v4] } as const

export interface Tunnel {
  readonly version: 1 | 2
  readonly ike: string
  readonly child: string
  readonly protocol?: 'esp' | 'ah'
  readonly mode?: 'tunnel' | 'transport'
  readonly encapsulation?: 'udp' | 'raw'
}

/** For the name of a test. */
export const nameOf = ({
  version,
  ike,
  child,
  protocol = 'esp',
  mode = 'tunnel',
  encapsulation = 'raw',
}: Tunnel): string => `IKEv${version} ${ike}, ${encapsulation} ${protocol} ${mode} ${child}`

/** sallyport's configuration. It logs its keys. */
export function sallyport(lab: Lab, t: Tunnel): string {
  const [us, them] = HOSTS[t.mode ?? 'tunnel']
  const address = t.mode === 'transport' ? '' : `, addresses: [${us}/32]`
  lab.file('k.psk', `psk: ${SECRET}\n`)
  return `
host: { id: ${a.v4}, state: ${lab.path('a.state')}, control: ${controlSocket(lab, 'a')} }
log: { level: debug, format: json }
key_log: { directory: ${keyLogOf(lab, 'keys', 'a')} }
tun: { name: sally0${address} }
peers:
  other:
    id: ${b.v4}
    local: ${a.v4}
    remote: ${b.v4}
    key_file: ${lab.path('k.psk')}
    dynamic_psk: off
    encapsulation: ${t.encapsulation ?? 'raw'}
    ike: { version: ${t.version}, proposals: [${t.ike}], dpd: 2s }
    children:
      interop: { protocol: ${t.protocol ?? 'esp'}, mode: ${t.mode ?? 'tunnel'}, local: [${us}], remote: [${them}], proposals: [${t.child}] }
`
}

/** Expects that all SAs of sallyport's are the peer's as well: SPI, protocol, mode, encapsulation and keys. Gives their number. */
export async function agree(
  lab: Lab,
  { protocol = 'esp', mode = 'tunnel', encapsulation = 'raw' }: Tunnel,
): Promise<number> {
  // The last message of an exchange may be on its way.
  await sleep(300)
  const theirs = recordedSas(lab.path('sadb'))
  const { sas } = readKeySource(keyLogOf(lab, 'keys', 'a'))
  expect(sas.length).toBeGreaterThanOrEqual(2)
  for (const sa of sas) {
    const his = theirs.filter((s) => s.spi === sa.spi).at(-1)
    expect(his).toMatchObject({
      protocol,
      mode,
      encapsulated: encapsulation === 'udp',
      encryptionKey: hex(sa.encryption?.key ?? new Uint8Array(0)),
      integrityKey: hex(sa.integrity?.key ?? new Uint8Array(0)),
    })
    expect(sa).toMatchObject({ protocol, mode })
  }
  return sas.length
}

type Peers = Pick<GatewayStatus, 'peers'>
export const one = (s: Peers): boolean => s.peers[0]!.ike!.sas.length === 1
export const whole = (s: Peers): boolean => s.peers[0]!.children[0]!.sas.length === 2
/** Of the newest IKE SA, and of the newest SA of the child. */
export const ikeSpiOf = (s: Peers): string | undefined => s.peers[0]!.ike!.sas.at(-1)?.initiatorSpi
export const spiOf = (s: Peers): number | undefined =>
  s.peers[0]!.children[0]!.sas.findLast((sa) => sa.direction === 'outbound')?.spi

/** Has sallyport begin: a packet for the child. Nobody can answer it. */
export function knock(lab: Lab, mode: Tunnel['mode'] = 'tunnel'): void {
  spawnSync('ip', ['netns', 'exec', lab.namespace('a'), 'ping', '-c', '1', '-W', '1', HOSTS[mode][1]])
}
