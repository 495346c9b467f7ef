import type { PolicySpec } from '../../src/sadb/sa-spec.js'
import type { TrafficSelector } from '../../src/wire/traffic-selector.js'

/** A packet as policy sees it. Ports: a number, 'opaque' (cannot be seen) or 'none' (the protocol has none at this end). */
export interface PlainFlow {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly protocol: number
  readonly sourcePort: number | 'opaque' | 'none'
  readonly destinationPort: number | 'opaque' | 'none'
}

const big = (address: Uint8Array): bigint => address.reduce((n, octet) => (n << 8n) | BigInt(octet), 0n)

export function selectorMatches(
  ts: TrafficSelector,
  address: Uint8Array,
  protocol: number,
  port: PlainFlow['sourcePort'],
): boolean {
  if (ts.start.length !== address.length) return false
  if (big(address) < big(ts.start) || big(address) > big(ts.end)) return false
  if (ts.protocol !== 0 && ts.protocol !== protocol) return false
  if (port === 'none') return true
  if (port === 'opaque') return ts.startPort === 0 && ts.endPort === 65535
  return port >= ts.startPort && port <= ts.endPort
}

/** The first policy of the list that covers an outgoing packet. */
export function findPolicy(policies: readonly PolicySpec[], f: PlainFlow): PolicySpec | undefined {
  return policies.find(
    (p) =>
      p.localTs.some((ts) => selectorMatches(ts, f.source, f.protocol, f.sourcePort)) &&
      p.remoteTs.some((ts) => selectorMatches(ts, f.destination, f.protocol, f.destinationPort)),
  )
}
