import { compareIp, parsePrefix } from '../../wire/ip-address.js'
import { ICMP, ICMPV6, SCTP, TCP, UDP } from '../../wire/ip-protocol.js'
import { selectorOf, type TrafficSelector } from '../../wire/traffic-selector.js'

export const SELECTOR_EXPECTED =
  'an address block such as 10.88.2.0/24, with a protocol and port where it is limited: 10.88.2.1/32[tcp/8002]'

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: ICMP,
  tcp: TCP,
  udp: UDP,
  ipv6icmp: ICMPV6,
  sctp: SCTP,
}
/** Protocols whose packets have ports where RFC 4301 section 4.4.1.1 looks for them. */
const PORTED: ReadonlySet<number> = new Set([TCP, UDP, SCTP])

/** Reads "10.0.0.0/24", "10.0.0.1/32[tcp]", "10.0.0.1/32[6/22]". Undefined when malformed. */
export function parseSelector(text: string): TrafficSelector | undefined {
  const m = /^([^[\]]{1,64})(?:\[([a-z0-9]{1,8})(?:\/(\d{1,5}))?\])?$/.exec(text)
  const prefix = m ? parsePrefix(m[1]!) : undefined
  if (!m || !prefix) return undefined
  if (m[2] === undefined) return selectorOf(prefix)
  const protocol = PROTOCOLS[m[2]] ?? (/^\d{1,3}$/.test(m[2]) ? Number(m[2]) : 0)
  if (protocol < 1 || protocol > 255) return undefined
  const selector = selectorOf(prefix, protocol)
  if (m[3] === undefined) return selector
  const port = Number(m[3])
  if (port < 1 || port > 65535 || !PORTED.has(protocol)) return undefined
  return { ...selector, startPort: port, endPort: port }
}

/** True when a packet can match both. */
export function selectorsOverlap(a: TrafficSelector, b: TrafficSelector): boolean {
  return (
    a.start.length === b.start.length &&
    compareIp(a.start, b.end) <= 0 &&
    compareIp(b.start, a.end) <= 0 &&
    (a.protocol === 0 || b.protocol === 0 || a.protocol === b.protocol) &&
    a.startPort <= b.endPort &&
    b.startPort <= a.endPort
  )
}

/** The first pair, one of each list, that a packet's address can match at once. */
export function overlapOf(
  a: readonly TrafficSelector[],
  b: readonly TrafficSelector[],
): readonly [TrafficSelector, TrafficSelector] | undefined {
  for (const x of a) for (const y of b) if (selectorsOverlap(x, y)) return [x, y]
  return undefined
}
