import type { Millis } from './environment.js'

// State machines as data: a table of transitions, each with the story that the log tells. A state carries only what is
// true in it; an absent cell means that the event is of no concern in that state.

type Kind = { readonly kind: string }
type In<T extends Kind, K> = Extract<T, { kind: K }>

/** The new state, and what is to be done about it, in order, after the new state is in place. */
export interface Outcome<S, F> {
  readonly next: S
  readonly effects: readonly F[]
}

export interface Transition<S extends Kind, From extends S, E extends Kind, C, F> {
  readonly story: string
  run(state: From, event: E, now: Millis, context: C): Outcome<S, F>
}

export type Table<S extends Kind, E extends Kind, C, F> = {
  readonly [K in S['kind']]: { readonly [L in E['kind']]?: Transition<S, In<S, K>, In<E, L>, C, F> }
}

/** The transition for an event in a state, undefined where the table has none. */
export function transition<S extends Kind, E extends Kind, C, F>(
  table: Table<S, E, C, F>,
  state: S,
  event: E,
): Transition<S, S, E, C, F> | undefined {
  const row = table[state.kind as S['kind']] as Record<string, Transition<S, S, E, C, F> | undefined>
  return row[event.kind]
}
