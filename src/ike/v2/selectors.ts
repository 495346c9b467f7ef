import { equalOctets } from '../../bytes/octets.js'
import { SELECTORS_MAX } from '../../wire/ike/v2/traffic-selectors.js'
import { compareIp, type IpAddress } from '../../wire/ip-address.js'
import { formatSelector, selectorContains, type TrafficSelector } from '../../wire/traffic-selector.js'

// Traffic selector negotiation, RFC 7296 section 2.9: the responder may take a part of what the initiator asks for.

export interface Selectors {
  /** Ours and the peer's side; never empty. */
  readonly local: readonly TrafficSelector[]
  readonly remote: readonly TrafficSelector[]
}

const later = (a: IpAddress, b: IpAddress): IpAddress => (compareIp(a, b) >= 0 ? a : b)
const earlier = (a: IpAddress, b: IpAddress): IpAddress => (compareIp(a, b) <= 0 ? a : b)

/** What both match; undefined for nothing. */
export function intersection(a: TrafficSelector, b: TrafficSelector): TrafficSelector | undefined {
  if (a.start.length !== b.start.length) return undefined
  if (a.protocol !== 0 && b.protocol !== 0 && a.protocol !== b.protocol) return undefined
  const start = later(a.start, b.start)
  const end = earlier(a.end, b.end)
  const startPort = Math.max(a.startPort, b.startPort)
  const endPort = Math.min(a.endPort, b.endPort)
  if (compareIp(start, end) > 0 || startPort > endPort) return undefined
  return { start, end, protocol: a.protocol === 0 ? b.protocol : a.protocol, startPort, endPort }
}

/** The part of `asked` that `ours` allows; without selectors that another one contains. At most SELECTORS_MAX, the first of them. */
export function narrow(
  asked: readonly TrafficSelector[],
  ours: readonly TrafficSelector[],
): TrafficSelector[] {
  const found = new Map<string, TrafficSelector>()
  for (const a of asked)
    for (const o of ours) {
      const x = intersection(a, o)
      if (x !== undefined && found.size < SELECTORS_MAX) found.set(formatSelector(x), x)
    }
  const all = [...found.values()]
  return all.filter((x) => !all.some((y) => y !== x && selectorContains(y, x)))
}

export const sameSelector = (a: TrafficSelector, b: TrafficSelector): boolean =>
  equalOctets(a.start, b.start) &&
  equalOctets(a.end, b.end) &&
  a.protocol === b.protocol &&
  a.startPort === b.startPort &&
  a.endPort === b.endPort

/** Whether every selector of `inner` lies in one of `outer`. */
export const within = (inner: readonly TrafficSelector[], outer: readonly TrafficSelector[]): boolean =>
  inner.every((i) => outer.some((o) => selectorContains(o, i)))

/** Whether two lists hold the same selectors. */
export const sameSelectors = (a: readonly TrafficSelector[], b: readonly TrafficSelector[]): boolean =>
  a.length === b.length && a.every((x) => b.some((y) => sameSelector(x, y)))

/** The one address that a list of selectors is about; undefined when it is about several. */
export function singleAddress(list: readonly TrafficSelector[]): IpAddress | undefined {
  const first = list[0]
  return first !== undefined &&
    list.every((s) => equalOctets(s.start, first.start) && equalOctets(s.end, first.start))
    ? first.start
    : undefined
}

/** The same selectors about another address. */
export const withAddress = (list: readonly TrafficSelector[], address: IpAddress): TrafficSelector[] =>
  list.map((s) => ({ ...s, start: address, end: address }))

/** "10.0.0.0/24,10.1.0.0/24 === 10.2.0.0/24". */
export const formatSelectors = (s: Selectors): string => `${listed(s.local)} === ${listed(s.remote)}`

/** Selectors of one side shown at most: as many as a child may have. */
const SHOWN_MAX = 16

const listed = (list: readonly TrafficSelector[]): string =>
  list.slice(0, SHOWN_MAX).map(formatSelector).join(',') +
  (list.length > SHOWN_MAX ? ` and ${list.length - SHOWN_MAX} more` : '')
