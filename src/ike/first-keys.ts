import { concat, utf8 } from '../bytes/octets.js'
import type { IkePeerConfig } from './config.js'
import type { FirstKeys, Ppk } from './ike-sa.js'
import type { PrephaseResult } from './prephase/types.js'

// What a first exchange is authenticated with: keys of the configuration, or those that a pre-phase has made.

const ONE_TIME = utf8('sallyport')

/** The pre-phase's keys, which are the IKE SA's from now on. Its PPK takes the place of a static one. */
export function keysOf(config: IkePeerConfig, result: PrephaseResult): FirstKeys {
  const { psk, ppk: key } = result
  if (key === undefined) return { psk, ppk: copyOf(config.ppk) }
  return { psk, ppk: { id: concat(ONE_TIME, result.initiatorCookie), key, required: true } }
}

/** The configuration's, of a peer without pre-phase: copies. */
export const plainKeys = (config: IkePeerConfig): FirstKeys => ({
  psk: new Uint8Array(config.key),
  ppk: copyOf(config.ppk),
})

const copyOf = (ppk: Ppk | undefined): Ppk | undefined => ppk && { ...ppk, key: new Uint8Array(ppk.key) }
