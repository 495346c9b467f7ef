import type { IkeSaView } from '../daemon/ike-view.js'
import type { ChildView, GatewayStatus, PeerView, SaView } from '../daemon/status.js'
import { colors as pc } from './colors.js'
import { facts, formatOctets, formatSeconds, formatSpi, table } from './output.js'

/** The status as people read it. */
export function formatStatus(s: GatewayStatus): string {
  const on = Object.entries(s.features).map(([name, enabled]) => (enabled ? name : pc.dim(`no ${name}`)))
  const engine = s.engines.find((e) => e.refused === undefined)
  const parts = [
    ...(s.keyLog === undefined ? [] : [keyLogWarning(s.keyLog)]),
    facts([
      ['daemon', `sallyport ${s.version}, pid ${s.pid}, up ${formatSeconds(s.uptimeSeconds)}`],
      ['config', s.config],
      [
        'tun',
        `${s.tun}: ${traffic(s.counters.tunReadPackets, s.counters.tunReadOctets)} out, ${traffic(s.counters.tunWritePackets, s.counters.tunWriteOctets)} in`,
      ],
      ...(s.lanes > 1 ? [['lanes', lanesText(s)] as const] : []),
      ['engine', engine ? `${engine.name} (${engine.detail})` : 'none'],
      ['offload', on.join(', ')],
    ]),
    table(
      ['PEER', 'ADDRESS', 'IDENTITY', 'KEY', 'PHASE', 'IKE SA', 'AGE', 'REKEY IN'],
      s.peers.flatMap(peerRows),
    ),
    table(
      [
        'CHILD',
        'PROTECTION',
        'TRAFFIC',
        'DIR',
        'SPI',
        'ALGORITHMS',
        'PACKETS',
        'OCTETS',
        'AGE',
        'EXPIRES IN',
      ],
      s.peers.flatMap((peer) => peer.children.flatMap((child) => childRows(peer, child, s.lanes > 1))),
    ),
  ]
  const errors = s.peers.filter((peer) => peer.ike?.lastError !== undefined)
  if (errors.length > 0)
    parts.push(facts(errors.map((peer) => [`last error of ${peer.name}`, lastError(peer)] as const)))
  for (const path of s.paths) parts.push(`path MTU to ${path.remote}: ${path.mtu}, as a router says`)
  parts.push(counts('DROPPED BY', 'PACKETS', s.drops, 'nothing was dropped'))
  if (Object.keys(s.events).length > 0) parts.push(counts('CONTROL EVENT', 'COUNT', s.events, ''))
  return parts.join('\n\n')
}

/** @param directory of the key log */
export const keyLogWarning = (directory: string): string =>
  pc.red(pc.bold(`KEY LOG IS ON: the keys of all SAs are written in plain to ${directory}`))

const lastError = (peer: PeerView): string =>
  `${pc.red(peer.ike?.lastError ?? '')} (${formatOptional(peer.ike?.lastErrorAgeSeconds)} ago)`

function lanesText({ lanes, counters }: GatewayStatus): string {
  const handed = counters.handedOver
  return handed > 0 ? `${lanes}; ${handed} packets handed to a lane that the peer has too` : String(lanes)
}

const traffic = (packets: number, octets: number): string => `${packets} packets (${formatOctets(octets)})`

function peerRows(peer: PeerView): string[][] {
  const head = [peer.name, peer.remote, peer.id ?? '-', keyOf(peer), peer.ike?.phase ?? 'manual']
  const sas = peer.ike?.sas ?? []
  if (sas.length === 0) return [[...head, '-', '-', '-']]
  return sas.map((sa, i) => [
    ...(i === 0 ? head : head.map(() => '')),
    ikeText(sa),
    formatOptional(sa.ageSeconds),
    formatOptional(sa.rekeySeconds),
  ])
}

function keyOf(peer: PeerView): string {
  if (peer.dynamicPsk === undefined) return '-'
  const keys = peer.auth === 'pubkey' ? 'public keys' : undefined
  if (peer.dynamicPsk === 'off') return keys ?? 'plain PSK'
  return [peer.dynamicPsk, peer.fingerprint, keys && `and ${keys}`]
    .filter((word) => word !== undefined)
    .join(' ')
}

function ikeText(sa: IkeSaView): string {
  const words = [
    `IKEv${sa.version}`,
    sa.initiator ? 'initiator' : 'responder',
    sa.proposal,
    sa.replaced ? 'replaced' : sa.state,
  ]
  return words.filter((word) => word !== undefined).join(' ')
}

/** @param lanes say which lane an SA belongs to */
function childRows(peer: PeerView, child: ChildView, lanes: boolean): string[][] {
  const head = [
    `${peer.name}.${child.name}`,
    `${child.protocol.toUpperCase()} ${child.mode}${child.transparent ? ' transparent' : ''}`,
    `${child.local.join(' ')} - ${child.remote.join(' ')}`,
  ]
  if (child.sas.length === 0) return [[...head, '-', pc.yellow('no SA'), '', '', '', '', '']]
  const order = [...child.sas].sort(
    (a, b) => a.ageSeconds - b.ageSeconds || a.direction.localeCompare(b.direction),
  )
  return order.map((sa, i) => [...(i === 0 ? head : head.map(() => '')), ...saCells(sa, lanes)])
}

function saCells(sa: SaView, lanes: boolean): string[] {
  const algorithms = [
    sa.encryption,
    sa.integrity,
    sa.esn ? 'ESN' : undefined,
    sa.encapsulation === 'udp' ? 'UDP' : undefined,
  ]
  return [
    `${sa.direction === 'inbound' ? 'in' : 'out'}${lanes ? `, lane ${sa.lane}` : ''}`,
    formatSpi(sa.spi),
    algorithms.filter((a) => a !== undefined).join('/'),
    String(sa.packets),
    formatOctets(sa.octets),
    formatSeconds(sa.ageSeconds),
    formatOptional(sa.expiresInSeconds),
  ]
}

const formatOptional = (seconds: number | undefined): string =>
  seconds === undefined ? '-' : formatSeconds(seconds)

function counts(what: string, unit: string, values: Readonly<Record<string, number>>, none: string): string {
  const rows = Object.entries(values).sort(([, a], [, b]) => b - a)
  if (rows.length === 0) return none
  return table(
    [what, unit],
    rows.map(([name, n]) => [name, String(n)]),
  )
}
