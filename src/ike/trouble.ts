import type { Millis } from './environment.js'

/** What keeps a peer's SAs from coming about, in words for the operator. */
export interface Trouble {
  readonly message: string
  /** When it was noticed; of a silence, since when it lasts. */
  readonly at: Millis
}

/** Of several that are known the one that was noticed last. */
export function newestTrouble(all: readonly (Trouble | undefined)[]): Trouble | undefined {
  let newest: Trouble | undefined
  for (const t of all) if (t !== undefined && (newest === undefined || t.at > newest.at)) newest = t
  return newest
}
