import {
  compareIp,
  firstAddress,
  formatIp,
  type IpAddress,
  lastAddress,
  type Prefix,
  parseIp,
  parsePrefix,
} from './ip-address.js'

/**
 * What a policy protects: a range of addresses, a protocol and a range of ports (RFC 4301 section 4.4.1.1, RFC 7296
 * section 3.13.1). Both ends of a range belong to it.
 */
export interface TrafficSelector {
  readonly start: IpAddress
  readonly end: IpAddress
  /** IP protocol, 0 = any. */
  readonly protocol: number
  /** Ports (or ICMP type and code), host order; 0-65535 = any. */
  readonly startPort: number
  readonly endPort: number
}

/** Selector for all traffic of an address block. */
export function selectorOf(prefix: Prefix, protocol = 0): TrafficSelector {
  return { start: firstAddress(prefix), end: lastAddress(prefix), protocol, startPort: 0, endPort: 0xffff }
}

/** True when every packet that `inner` matches is matched by `outer`. */
export function selectorContains(outer: TrafficSelector, inner: TrafficSelector): boolean {
  return (
    outer.start.length === inner.start.length &&
    compareIp(outer.start, inner.start) <= 0 &&
    compareIp(outer.end, inner.end) >= 0 &&
    (outer.protocol === 0 || outer.protocol === inner.protocol) &&
    outer.startPort <= inner.startPort &&
    outer.endPort >= inner.endPort
  )
}

/** The block that the range is, or undefined when it is no single block. */
export function selectorPrefix(ts: TrafficSelector): Prefix | undefined {
  const bits = ts.start.length * 8
  for (let length = bits; length >= 0; length--) {
    const prefix = { address: ts.start, length }
    if (compareIp(firstAddress(prefix), ts.start) !== 0) return undefined
    if (compareIp(lastAddress(prefix), ts.end) === 0) return prefix
  }
  return undefined
}

/** "10.0.0.0/24", "10.0.0.1-10.0.0.9", with "[tcp/22]"-like protocol and ports where they are limited. */
export function formatSelector(ts: TrafficSelector): string {
  const prefix = selectorPrefix(ts)
  const range = prefix
    ? `${formatIp(prefix.address)}/${prefix.length}`
    : `${formatIp(ts.start)}-${formatIp(ts.end)}`
  const anyPort = ts.startPort === 0 && ts.endPort === 0xffff
  if (ts.protocol === 0 && anyPort) return range
  const ports = anyPort
    ? ''
    : ts.startPort === ts.endPort
      ? `/${ts.startPort}`
      : `/${ts.startPort}-${ts.endPort}`
  return `${range}[${ts.protocol}${ports}]`
}

/** Reads what formatSelector writes. Undefined when malformed. */
export function parseFormattedSelector(text: string): TrafficSelector | undefined {
  const m =
    /^([0-9a-f.:]{2,45}(?:\/\d{1,3}|-[0-9a-f.:]{2,45}))(?:\[(\d{1,3})(?:\/(\d{1,5})(?:-(\d{1,5}))?)?\])?$/.exec(
      text,
    )
  const range = m && parseRange(m[1]!)
  if (!m || !range) return undefined
  const protocol = Number(m[2] ?? 0)
  const startPort = Number(m[3] ?? 0)
  const endPort = Number(m[4] ?? m[3] ?? 0xffff)
  if (protocol > 255 || endPort > 0xffff || startPort > endPort) return undefined
  return { ...range, protocol, startPort, endPort }
}

function parseRange(text: string): Pick<TrafficSelector, 'start' | 'end'> | undefined {
  const [first, last] = text.split('-')
  if (last === undefined) {
    const prefix = parsePrefix(text)
    return prefix && { start: firstAddress(prefix), end: lastAddress(prefix) }
  }
  const start = parseIp(first!)
  const end = parseIp(last)
  if (!start || !end || start.length !== end.length || compareIp(start, end) > 0) return undefined
  return { start, end }
}
