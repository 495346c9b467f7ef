import type { Millis } from './environment.js'

/** Whether a deadline, if there is one, is over. */
export const isDue = (at: Millis | undefined, now: Millis): boolean => at !== undefined && at <= now

/** Of several deadlines the first one; undefined when there is none. */
export function earliest(deadlines: Iterable<Millis | undefined>): Millis | undefined {
  let first: Millis | undefined
  for (const at of deadlines) if (at !== undefined && (first === undefined || at < first)) first = at
  return first
}
