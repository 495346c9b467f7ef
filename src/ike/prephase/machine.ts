import type { Endpoint } from '../environment.js'
import {
  type Outcome as AnyOutcome,
  type Table as AnyTable,
  transition as anyTransition,
} from '../transition-table.js'
import type { Trouble } from '../trouble.js'
import type { Cause } from './refusals.js'
import type { PrephaseResult } from './types.js'

// The pre-phase's two machines are tables as those of IKE are, with effects of their own.

/** Our end and the peer's end of a message's way. */
export interface Path {
  readonly local: Endpoint
  readonly remote: Endpoint
}

/** What a transition asks the engine to do, in order, after the new state is in place. */
export type Effect =
  | { readonly do: 'send'; readonly path: Path; readonly message: Uint8Array }
  | { readonly do: 'refuse'; readonly cause: Cause; readonly fields?: Record<string, unknown> }
  | { readonly do: 'count'; readonly counter: string }
  /** Told once an exchange, and remembered when it is over. */
  | { readonly do: 'silent'; readonly silence: Trouble; readonly over?: true }
  | { readonly do: 'finished'; readonly result: PrephaseResult }
  | { readonly do: 'failed'; readonly reason: string }

type Kind = { readonly kind: string }

export type Outcome<S> = AnyOutcome<S, Effect>
export type Table<S extends Kind, E extends Kind, C> = AnyTable<S, E, C, Effect>

/** The transition for an event in a state, undefined where the table has none. */
export const transition = <S extends Kind, E extends Kind, C>(table: Table<S, E, C>, state: S, event: E) =>
  anyTransition<S, E, C, Effect>(table, state, event)

/** An outcome that stays where it is and refuses the message. */
export const refused = <S>(state: S, cause: Cause, fields?: Record<string, unknown>): Outcome<S> => ({
  next: state,
  effects: [fields === undefined ? { do: 'refuse', cause } : { do: 'refuse', cause, fields }],
})
