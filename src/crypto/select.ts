import type { Slab } from '../bytes/slab.js'
import { CryptoError } from '../errors.js'
import { ipsecMbEngine } from './engines/ipsec-mb.js'
import { nobleEngine } from './engines/noble.js'
import { opensslEngine } from './engines/openssl.js'
import { queueSelfTest } from './queue-self-test.js'
import { selfTest } from './self-test.js'
import type { CryptoEngine, EngineName } from './types.js'

/** What became of one engine at start, for logs and `status`. */
export interface EngineReport {
  readonly name: EngineName
  readonly detail: string
  /** Why it is not used; absent when it is. */
  readonly refused?: string
}

export interface EngineSelection {
  /** Usable engines, fastest first: each algorithm is taken from the first that has it. */
  readonly engines: readonly CryptoEngine[]
  readonly report: readonly EngineReport[]
}

type Makers = readonly (readonly [EngineName, () => CryptoEngine | string])[]

const MAKERS: Makers = [
  ['ipsec-mb', ipsecMbEngine],
  ['openssl', opensslEngine],
  ['noble', nobleEngine],
]

/**
 * Finds the engines of this machine and tests each on the slab that it will work on (the first packet octets are used
 * and cleared).
 * @param wanted one engine by name: then it leads, and the slower ones stay behind it for what it does not have
 * @param makers all there may be, fastest first; each gives the reason when it cannot
 * @throws CryptoError when the wanted engine cannot be used, or none can
 */
export function selectEngines(
  wanted: EngineName | 'auto',
  slab: Slab,
  makers: Makers = MAKERS,
): EngineSelection {
  const engines: CryptoEngine[] = []
  const report: EngineReport[] = []
  const first = wanted === 'auto' ? 0 : makers.findIndex(([name]) => name === wanted)
  for (const [name, make] of makers.slice(first)) {
    const { engine, detail, refused } = tryEngine(make, slab)
    if (refused === undefined && engine) {
      engines.push(engine)
      report.push({ name, detail })
    } else {
      report.push({ name, detail, refused: refused ?? detail })
      if (name === wanted) throw new CryptoError(`crypto engine ${name} cannot be used: ${refused ?? detail}`)
    }
  }
  if (engines.length === 0) throw new CryptoError('no crypto engine passes its self-test')
  return { engines, report }
}

function tryEngine(
  make: () => CryptoEngine | string,
  slab: Slab,
): { engine?: CryptoEngine; detail: string; refused?: string } {
  try {
    const engine = make()
    if (typeof engine === 'string') return { detail: engine, refused: engine }
    const fault = selfTest(engine, slab)
    if (fault !== undefined) return { detail: engine.detail, refused: fault }
    const queue = engine.queue?.(slab)
    const queueFault = queue && queueSelfTest(queue, slab)
    if (queueFault === undefined) return { engine, detail: engine.detail }
    const { queue: _, ...oneByOne } = engine
    return {
      engine: oneByOne,
      detail: `${engine.detail}; packets one by one, as its queue gives a ${queueFault}`,
    }
  } catch (error) {
    const why = (error as Error).message
    return { detail: why, refused: why }
  }
}
