import { type ChildPairView, type IkeSaView, proposalNames } from '../ike-view.js'
import type { ChildView, GatewayStatus, PeerView, SaView } from '../status.js'
import type { ViciMessage, ViciValue } from './vici-message.js'

// The daemon's status in the words of strongSwan's vici, so that swanctl and the exporters that know vici can read it.
// Numbers are text, SPIs bare hex digits, and `child-sas` is the last key of an IKE SA: swanctl prints the IKE SA when
// it comes to it.

/** Small numbers for SAs, as vici has them: given at first sight, kept while the SA is listed. */
export class UniqueIds {
  private ids = new Map<string, number>()
  private next = 1

  /** Ids of these SAs; all others are forgotten. */
  assign(keys: readonly string[]): ReadonlyMap<string, number> {
    const kept = new Map<string, number>()
    for (const key of keys) kept.set(key, this.ids.get(key) ?? this.next++)
    this.ids = kept
    return kept
  }
}

/**
 * The `list-sa` messages, one an IKE SA; a peer with manual SAs, or whose IKE SA is gone while its children live, is
 * listed as an IKE SA without algorithms.
 * @param only the peer to list; undefined for all
 */
export function listSas(status: GatewayStatus, ids: UniqueIds, only?: string): ViciMessage[] {
  const entries = status.peers.flatMap((peer) => ikeEntries(peer))
  const numbers = ids.assign(entries.flatMap((e) => [e.key, ...e.children.map((c) => c.key)]))
  return entries
    .filter((e) => only === undefined || e.peer.name === only)
    .map((e) => ({
      [e.peer.name]: compact({
        uniqueid: String(numbers.get(e.key)),
        ...e.values,
        'child-sas': childSas(e, numbers),
      }),
    }))
}

interface Entry {
  readonly key: string
  readonly peer: PeerView
  readonly values: Readonly<Record<string, ViciValue | undefined>>
  readonly children: readonly ChildEntry[]
}

interface ChildEntry {
  readonly key: string
  readonly child: ChildView
  readonly pair: ChildPairView | undefined
  readonly inbound: SaView | undefined
  readonly outbound: SaView | undefined
}

function ikeEntries(peer: PeerView): Entry[] {
  const children = peer.children.flatMap((child) => childEntries(peer, child))
  const sas = peer.ike?.sas ?? []
  const common = {
    'local-host': peer.local,
    'remote-host': peer.remote,
    'local-id': peer.localId ?? peer.local,
    'remote-id': peer.id ?? peer.remote,
  }
  if (sas.length === 0) {
    if (children.length === 0) return []
    const spis = { 'initiator-spi': NO_SPI, 'responder-spi': NO_SPI }
    const values = { version: '0', state: 'MANUAL', 'local-port': '0', 'remote-port': '0', ...common }
    return [{ key: `peer ${peer.name}`, peer, values: { ...values, initiator: 'no', ...spis }, children }]
  }
  // Children hang on the newest IKE SA that is up, which is the one that would rekey them.
  const owner = sas.find((sa) => isEstablished(sa) && !sa.replaced) ?? sas[0]
  return sas.map((sa) => ({
    key: `ike ${sa.initiatorSpi}`,
    peer,
    values: { ...common, ...ikeValues(sa) },
    children: sa === owner ? children : [],
  }))
}

const NO_SPI = '0'.repeat(16)

export const isEstablished = (sa: IkeSaView): boolean => sa.ageSeconds !== undefined

function ikeValues(sa: IkeSaView): Record<string, ViciValue | undefined> {
  const names = sa.proposal === undefined ? undefined : proposalNames(sa.proposal)
  return {
    version: String(sa.version),
    state: sa.replaced ? 'REKEYED' : sa.state,
    'local-port': portOf(sa.local),
    'remote-port': portOf(sa.remote),
    initiator: sa.initiator ? 'yes' : 'no',
    'initiator-spi': sa.initiatorSpi,
    'responder-spi': sa.responderSpi,
    'nat-any': sa.nat === undefined ? undefined : 'yes',
    'encr-alg': names?.encryption,
    'encr-keysize': names?.keyBits ? String(names.keyBits) : undefined,
    'integ-alg': names?.integrity,
    'prf-alg': names?.prf,
    'dh-group': names?.group,
    ke1: names?.second,
    established: seconds(sa.ageSeconds),
    'reauth-time': seconds(sa.rekeySeconds),
    'life-time': seconds(sa.expiresSeconds),
  }
}

const portOf = (endpoint: string): string => endpoint.slice(endpoint.lastIndexOf(':') + 1)

/** The SAs of a child in pairs, as IKE knows them; manual ones, and what IKE has forgotten, in order of age. */
function childEntries(peer: PeerView, child: ChildView): ChildEntry[] {
  const find = (direction: SaView['direction'], spi: number): SaView | undefined =>
    child.sas.find((sa) => sa.direction === direction && sa.spi === spi)
  const entries: ChildEntry[] = []
  for (const pair of peer.ike?.children.filter((c) => c.policy === child.policy) ?? [])
    entries.push({
      key: `child ${child.policy} ${pair.inboundSpi}`,
      child,
      pair,
      inbound: find('inbound', pair.inboundSpi),
      outbound: find('outbound', pair.outboundSpi),
    })
  const paired = new Set(entries.flatMap((e) => [e.inbound, e.outbound]))
  const newestFirst = (direction: SaView['direction']): SaView[] =>
    child.sas
      .filter((sa) => sa.direction === direction && !paired.has(sa))
      .sort((a, b) => a.ageSeconds - b.ageSeconds)
  const inbound = newestFirst('inbound')
  const outbound = newestFirst('outbound')
  for (let i = 0; i < Math.max(inbound.length, outbound.length); i++) {
    const spi = (inbound[i] ?? outbound[i])?.spi ?? 0
    const key = `child ${child.policy} ${spi}`
    entries.push({ key, child, pair: undefined, inbound: inbound[i], outbound: outbound[i] })
  }
  return entries
}

function childSas(entry: Entry, numbers: ReadonlyMap<string, number>): ViciMessage {
  const sections: Record<string, ViciMessage> = {}
  for (const c of entry.children) {
    const id = String(numbers.get(c.key))
    sections[`${c.child.name}-${id}`] = childSa(c, id)
  }
  return sections
}

const CHILD_STATES = {
  HALF: 'INSTALLING',
  CURRENT: 'INSTALLED',
  REPLACED: 'REKEYED',
  EXPIRED: 'DELETING',
} as const

function childSa({ child, pair, inbound, outbound }: ChildEntry, id: string): ViciMessage {
  const sa = outbound ?? inbound
  const [encryption, keyBits] = (sa?.encryption ?? '').split('-')
  return compact({
    name: child.name,
    uniqueid: id,
    reqid: String(child.policy),
    state: CHILD_STATES[pair?.state ?? 'CURRENT'],
    mode: child.mode.toUpperCase(),
    protocol: child.protocol.toUpperCase(),
    encap: sa?.encapsulation === 'udp' ? 'yes' : undefined,
    'spi-in': hex8(inbound?.spi),
    'spi-out': hex8(outbound?.spi),
    'encr-alg': encryption || undefined,
    'encr-keysize': keyBits,
    'integ-alg': sa?.integrity,
    esn: sa?.esn ? '1' : undefined,
    'bytes-in': String(inbound?.octets ?? 0),
    'packets-in': String(inbound?.packets ?? 0),
    'use-in': seconds(inbound?.idleSeconds),
    'bytes-out': String(outbound?.octets ?? 0),
    'packets-out': String(outbound?.packets ?? 0),
    'use-out': seconds(outbound?.idleSeconds),
    'rekey-time': seconds(pair?.rekeySeconds),
    'life-time': seconds(sa?.expiresInSeconds),
    'install-time': seconds(sa?.ageSeconds) ?? '0',
    'local-ts': child.local,
    'remote-ts': child.remote,
  })
}

/** The `list-conn` messages, one a peer. */
export function listConns(status: GatewayStatus): ViciMessage[] {
  return status.peers.map((peer) => {
    const children: Record<string, ViciMessage> = {}
    for (const child of peer.children)
      children[child.name] = {
        mode: child.mode.toUpperCase(),
        rekey_time: String(child.lifetime?.hardSeconds ?? 0),
        rekey_bytes: String(child.lifetime?.hardOctets ?? 0),
        rekey_packets: String(child.lifetime?.hardPackets ?? 0),
        'local-ts': child.local,
        'remote-ts': child.remote,
      }
    return {
      [peer.name]: compact({
        local_addrs: [peer.local],
        remote_addrs: [peer.remote],
        version: peer.ike ? `IKEv${peer.ike.version}` : 'manual',
        reauth_time: String(peer.ikeLifetimeSeconds ?? 0),
        rekey_time: '0',
        'local-1': compact({ class: peer.ike ? 'pre-shared key' : undefined, id: peer.localId }),
        'remote-1': compact({ class: peer.ike ? 'pre-shared key' : undefined, id: peer.id }),
        children,
      }),
    }
  })
}

const hex8 = (spi: number | undefined): string => (spi ?? 0).toString(16).padStart(8, '0')

const seconds = (value: number | undefined): string | undefined =>
  value === undefined ? undefined : String(Math.max(0, Math.round(value)))

/** Without the keys that have no value. */
function compact(values: Readonly<Record<string, ViciValue | undefined>>): ViciMessage {
  const out: Record<string, ViciValue> = {}
  for (const [key, value] of Object.entries(values)) if (value !== undefined) out[key] = value
  return out
}
