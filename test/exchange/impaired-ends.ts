import type { IkePeerConfig } from '../../src/ike/config.js'
import type { IkeOptions } from '../../src/ike/ike.js'
import type { Phase1 } from '../../src/ike/v1/main-mode-states.js'
import { Impairer } from '../lab/impair/impairer.js'
import type { V1Secrets } from '../lab/impair/rewrite.js'
import type { Rule } from '../lab/impair/rules.js'
import { IkeEnd, type IkeEnds, IkeEnvironmentTwin, ikePeer, mirroredPeer, type TwoIkes } from './ike-ends.js'
import { VirtualNetwork } from './virtual-network.js'

export interface ImpairedEnds extends IkeEnds {
  readonly impairer: Impairer
  /** Which of the two is impaired, and the other one. */
  readonly impaired: IkeEnd
  readonly healthy: IkeEnd
}

/** Two ends, one of which does not keep to the rules. */
export function impairedEnds(side: 'a' | 'b', rules: readonly Rule[], o: TwoIkes = {}): ImpairedEnds {
  const network = new VirtualNetwork(o)
  const config = ikePeer(o.config)
  const seed = o.seed ?? 0
  const make = { a: config, b: { ...mirroredPeer(config), ...o.b } }
  let impairer: Impairer | undefined
  const end = (name: 'a' | 'b'): IkeEnd => {
    if (name !== side) return new IkeEnd(network, [make[name]], `${name} ${seed}`, o.options)
    const made = impairedEnd(network, make[name], rules, `${name} ${seed}`, o.options)
    impairer = made.impairer
    return made.end
  }
  const [a, b] = [end('a'), end('b')]
  const [impaired, healthy] = side === 'a' ? [a, b] : [b, a]
  return { network, a, b, impairer: impairer!, impaired, healthy }
}

/** One end that does not keep to the rules. */
export function impairedEnd(
  network: VirtualNetwork,
  config: IkePeerConfig,
  rules: readonly Rule[],
  seed: string,
  options?: IkeOptions,
): { readonly end: IkeEnd; readonly impairer: Impairer } {
  const timers: { at: number; run: () => void }[] = []
  let made: IkeEnd | undefined
  const impairer = new Impairer(rules, {
    later: (ms, run) => timers.push({ at: network.now + ms, run }),
    secretsOf: (ci) => made && secretsOf(made, ci),
  })
  const end = new IkeEnd(network, [config], '', options, impairer.wrap(new IkeEnvironmentTwin(network, seed)))
  made = end
  const { receive, tick, nextDeadline } = end
  Object.assign(end, {
    receive: (...args: Parameters<IkeEnd['receive']>) => {
      impairer.observe(new Uint8Array(args[3]))
      receive.apply(end, args)
    },
    tick: (now: number) => {
      for (const t of timers.filter((x) => x.at <= now)) {
        timers.splice(timers.indexOf(t), 1)
        t.run()
      }
      tick.call(end, now)
    },
    nextDeadline: () => {
      const at = Math.min(nextDeadline.call(end) ?? Number.POSITIVE_INFINITY, ...timers.map((t) => t.at))
      return Number.isFinite(at) ? at : undefined
    },
  })
  return { end, impairer }
}

/** Looks into the end that it belongs to. */
function secretsOf(end: IkeEnd, ci: Uint8Array): V1Secrets | undefined {
  const { sas } = end.ike as unknown as {
    sas: Map<string, { sa: { initiatorSpi: Uint8Array; phase2?: { phase1: Phase1 } } }>
  }
  const found = [...sas.values()].find(({ sa }) => Buffer.compare(sa.initiatorSpi, ci) === 0)
  return found?.sa.phase2?.phase1
}
