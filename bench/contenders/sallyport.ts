import { SCRATCH_LEN } from '../../src/bytes/slab.js'
import { selectEngines } from '../../src/crypto/select.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { Gateway, type GatewaySettings } from '../../test/lab/gateway.js'
import { ADDRESSES } from '../../test/lab/lab.js'
import { type Contender, connected, INNER } from './contender.js'

export interface SallyportOptions {
  readonly engine: 'ipsec-mb' | 'openssl' | 'noble' | 'auto'
  readonly encapsulation: 'udp' | 'raw'
  readonly protocol?: 'esp' | 'ah'
  /** Default tunnel. In transport mode the underlay addresses themselves are protected. */
  readonly mode?: 'tunnel' | 'transport'
  readonly proposal?: string
  /** Lanes at both ends. Default 1. */
  readonly lanes?: number
}

let engineNames: readonly string[] | undefined

/** Whether this machine has the engine; `auto` always does. */
function hasEngine(name: string): boolean {
  engineNames ??= selectEngines('auto', nativeSlab(SCRATCH_LEN + 65_536)).engines.map((e) => e.name)
  return name === 'auto' || engineNames.includes(name)
}

/** Settings of both daemons. */
export function sallyportSettings(o: SallyportOptions): GatewaySettings {
  const mode = o.mode ?? 'tunnel'
  return {
    transparent: mode === 'transport',
    log: { level: 'warn' },
    dataplane: { engine: o.engine, lanes: o.lanes ?? 1 },
    peer: { encapsulation: o.encapsulation },
    child: { protocol: o.protocol ?? 'esp', mode, proposals: [o.proposal ?? 'aes128gcm16'] },
  }
}

/**
 * Two real daemons, keyed by the hardened pre-phase and IKE.
 * @param more settings that differ, section by section
 */
export function sallyport(name: string, o: SallyportOptions, more: GatewaySettings = {}): Contender {
  return {
    name,
    kind: 'ours',
    missing: () =>
      hasEngine(o.engine) ? undefined : `the engine ${o.engine} is not available on this machine`,
    async connect(lab) {
      const settings = sallyportSettings(o)
      const gateways = await Gateway.pair(lab, {
        ...settings,
        ...more,
        child: { ...settings.child, ...more.child },
      })
      const way = o.mode === 'transport' ? { from: ADDRESSES.a.v4, to: ADDRESSES.b.v4 } : INNER
      return connected(lab, name, { ...way, gateways })
    },
  }
}
