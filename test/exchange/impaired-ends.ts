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
  const timers: { at: number; run: () => void }[] = []
  let end: IkeEnd | undefined
  const impairer = new Impairer(rules, {
    later: (ms, run) => timers.push({ at: network.now + ms, run }),
    secretsOf: (ci) => end && secretsOf(end, ci),
  })
  const envOf = (name: 'a' | 'b') => {
    const env = new IkeEnvironmentTwin(network, `${name} ${o.seed ?? 0}`)
    return name === side ? impairer.wrap(env) : env
  }
  const a = new IkeEnd(network, [config], '', o.options, envOf('a'))
  const b = new IkeEnd(network, [{ ...mirroredPeer(config), ...o.b }], '', o.options, envOf('b'))
  end = side === 'a' ? a : b
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
  return { network, a, b, impairer, impaired: end, healthy: side === 'a' ? b : a }
}

/** Looks into the end that it belongs to. */
function secretsOf(end: IkeEnd, ci: Uint8Array): V1Secrets | undefined {
  const { sas } = end.ike as unknown as {
    sas: Map<string, { sa: { initiatorSpi: Uint8Array; phase2?: { phase1: Phase1 } } }>
  }
  const found = [...sas.values()].find(({ sa }) => Buffer.compare(sa.initiatorSpi, ci) === 0)
  return found?.sa.phase2?.phase1
}
