import type { SaMode } from '../../sadb/sa-spec.js'
import type { TrafficSelector } from '../../wire/traffic-selector.js'
import type { ChildConfig } from '../config.js'
import type { Path } from '../path.js'
import type { NatState } from './nat.js'
import { protocolNumber } from './offer.js'
import { narrow, type Selectors, sameSelectors, singleAddress, withAddress } from './selectors.js'

/** The child that a request is about, and what of the request it grants. */
export interface FoundChild {
  readonly child: ChildConfig
  readonly mode: SaMode
  readonly selectors: Selectors
  /** The same as the peer knows it. */
  readonly tsI: readonly TrafficSelector[]
  readonly tsR: readonly TrafficSelector[]
}

/**
 * The child that fits best: right protocol, right mode, exactly these selectors; then any with which something is left. A
 * child in tunnel mode may answer a wish for transport mode by leaving it out (RFC 7296 section 1.3.1).
 */
export function findChild(
  children: readonly ChildConfig[],
  asked: Selectors,
  transport: boolean,
  protocols: ReadonlySet<number>,
  c: { readonly nat: NatState; readonly path: Path },
): FoundChild | undefined {
  let best: { found: FoundChild; score: number } | undefined
  for (const child of children) {
    if (child.mode === 'transport' && !transport) continue
    const found = fitted(child, asked, c)
    if (found === undefined) continue
    const exact =
      sameSelectors(found.selectors.local, asked.local) && sameSelectors(found.selectors.remote, asked.remote)
    const score =
      (protocols.has(protocolNumber(child.protocol)) ? 4 : 0) +
      ((child.mode === 'transport') === transport ? 2 : 0) +
      (exact ? 1 : 0)
    if (best === undefined || score > best.score) best = { found, score }
  }
  return best?.found
}

function fitted(
  child: ChildConfig,
  asked: Selectors,
  c: { readonly nat: NatState; readonly path: Path },
): FoundChild | undefined {
  const { mode } = child
  // Behind a NAT each end knows the other by another address than it knows itself. In transport mode the addresses of the
  // packets are meant, as they are here (RFC 7296 section 2.23.1).
  const theirLocal = mode === 'transport' && c.nat.local ? singleAddress(asked.local) : undefined
  const theirRemote = mode === 'transport' && c.nat.remote ? singleAddress(asked.remote) : undefined
  const local = narrow(
    theirLocal === undefined ? asked.local : withAddress(asked.local, c.path.local.address),
    child.localTs,
  )
  const remote = narrow(
    theirRemote === undefined ? asked.remote : withAddress(asked.remote, c.path.remote.address),
    child.remoteTs,
  )
  if (local.length === 0 || remote.length === 0) return undefined
  return {
    child,
    mode,
    selectors: { local, remote },
    tsI: theirRemote === undefined ? remote : withAddress(remote, theirRemote),
    tsR: theirLocal === undefined ? local : withAddress(local, theirLocal),
  }
}
