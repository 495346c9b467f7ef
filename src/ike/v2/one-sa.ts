import { formatSelector } from '../../wire/traffic-selector.js'
import type { AgreedChild } from '../child-sa.js'
import type { ChildRefusal } from './child-exchange.js'
import { formatSelectors, type Selectors, within } from './selectors.js'

// One SA carries the traffic of a child. A peer may want several that share it, each for a part of its selectors.

export const selectorsOf = (a: AgreedChild): Selectors => ({ local: a.localTs, remote: a.remoteTs })

/**
 * Why the peer cannot have another CHILD_SA besides the one that a child has: it would take that one's place, with other traffic than
 * it carries, and the peer would want that one back. Undefined when the new one carries all that the old one did.
 */
export function beside(current: AgreedChild | undefined, next: AgreedChild): ChildRefusal | undefined {
  if (current === undefined) return undefined
  if (within(current.localTs, next.localTs) && within(current.remoteTs, next.remoteTs)) return undefined
  const { name } = next.child
  const has = formatSelectors(selectorsOf(current))
  const wanted = formatSelectors(selectorsOf(next))
  return {
    notify: 'NO_ADDITIONAL_SAS',
    reason: `child ${name} has an SA for ${has}, and the peer wants another one for ${wanted}: configure one child for each pair of selectors`,
    told: 'both lie within one child of the other end, which has one SA: one child has to be configured there for each pair of selectors',
  }
}

/** What of our child the agreed selectors leave out, for the operator; undefined for nothing. */
export function uncovered(a: AgreedChild): string | undefined {
  const { localTs, remoteTs } = a.child
  const local = localTs.filter((s) => !within([s], a.localTs))
  const remote = remoteTs.filter((s) => !within([s], a.remoteTs))
  if (local.length === 0 && remote.length === 0) return undefined
  const text = [
    ...(local.length > 0 ? [`local ${local.map(formatSelector).join(',')}`] : []),
    ...(remote.length > 0 ? [`remote ${remote.map(formatSelector).join(',')}`] : []),
  ]
  return `all or part of ${text.join(' and ')}`
}
