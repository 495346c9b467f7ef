import type { Endpoint, Millis } from '../environment.js'
import type { Trouble } from '../trouble.js'
import type { Cause } from './refusals.js'
import type { PrephaseResult } from './types.js'

// State machines as data: a table of transitions, each with the story that the log tells. A state carries only what is
// true in it; an absent cell means that the event is of no concern in that state.

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

export interface Outcome<S> {
  readonly next: S
  readonly effects: readonly Effect[]
}

type Kind = { readonly kind: string }
type In<T extends Kind, K> = Extract<T, { kind: K }>

export interface Transition<S extends Kind, From extends S, E extends Kind, C> {
  readonly story: string
  run(state: From, event: E, now: Millis, context: C): Outcome<S>
}

export type Table<S extends Kind, E extends Kind, C> = {
  readonly [K in S['kind']]: { readonly [L in E['kind']]?: Transition<S, In<S, K>, In<E, L>, C> }
}

/** The transition for an event in a state, undefined where the table has none. */
export function transition<S extends Kind, E extends Kind, C>(
  table: Table<S, E, C>,
  state: S,
  event: E,
): Transition<S, S, E, C> | undefined {
  const row = table[state.kind as S['kind']] as Record<string, Transition<S, S, E, C> | undefined>
  return row[event.kind]
}

/** An outcome that stays where it is and refuses the message. */
export const refused = <S>(state: S, cause: Cause, fields?: Record<string, unknown>): Outcome<S> => ({
  next: state,
  effects: [fields === undefined ? { do: 'refuse', cause } : { do: 'refuse', cause, fields }],
})
