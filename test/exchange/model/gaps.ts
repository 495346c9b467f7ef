import type { IkeEnds } from '../ike-ends.js'

/** A time in which an end had no SA to send on. */
export interface Gap {
  readonly side: 'a' | 'b'
  readonly at: number
  readonly ms: number
}

/** Notes from now on when an end has no outbound SA for a policy. @returns what was noted; a gap that is not over lasts until now */
export function watchGaps({ network, a, b }: IkeEnds, policy = 1): () => readonly Gap[] {
  const gaps: Gap[] = []
  const open = new Map<Gap['side'], number>()
  for (const [side, { env }] of [['a', a] as const, ['b', b] as const]) {
    const look = (): void => {
      const since = open.get(side)
      if (env.newestOutbound(policy) === undefined) open.set(side, since ?? network.now)
      else if (since !== undefined) {
        open.delete(side)
        // One SA right after the other is no gap: time stands still meanwhile.
        if (network.now > since) gaps.push({ side, at: since, ms: network.now - since })
      }
    }
    const [add, remove] = [env.addSa.bind(env), env.deleteSa.bind(env)]
    env.addSa = (sa) => {
      add(sa)
      look()
    }
    env.deleteSa = (key) => {
      remove(key)
      look()
    }
  }
  return () => [...gaps, ...[...open].map(([side, at]) => ({ side, at, ms: network.now - at }))]
}
