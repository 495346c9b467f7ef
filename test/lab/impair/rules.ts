// What an impaired end does wrong, as `impair` switches of other implementations do it. A rule is about one message by its name,
// or about one payload in it; it holds for repetitions, too.

export const ACTIONS = ['omit', 'double', 'corrupt', 'reorder', 'delay'] as const
export type Action = (typeof ACTIONS)[number]

export interface Rule {
  /** "pre-phase 2", "Main Mode 5", "Quick Mode 1", "Informational", "IKE_AUTH request", "INFORMATIONAL response". */
  readonly message: string
  /** "TSi", "AUTH", "N(COOKIE)"; without it the whole message is meant. */
  readonly payload?: string
  /**
   * Of a payload: left out, there twice, its last octet wrong, or behind all others. Of a message: not sent, sent twice, its last
   * octet wrong, behind the next one, or `ms` later.
   */
  readonly do: Action
  readonly ms?: number
  /** For so many different messages; all of them unless told. */
  readonly times?: number
}

/** @param text JSON, a list of rules @throws Error that says what is wrong */
export function parseRules(text: string): Rule[] {
  const rules: unknown = JSON.parse(text)
  if (!Array.isArray(rules)) throw new Error('impair: expected a list of rules')
  return rules.map((rule: Partial<Rule>, i) => {
    const wrong = (what: string): Error => new Error(`impair: rule ${i}: ${what}`)
    if (typeof rule.message !== 'string') throw wrong('which message?')
    if (rule.do === undefined || !ACTIONS.includes(rule.do)) throw wrong(`do: one of ${ACTIONS.join(', ')}`)
    if (rule.do === 'delay' && (rule.payload !== undefined || typeof rule.ms !== 'number'))
      throw wrong('delay is for messages, and takes ms')
    return rule as Rule
  })
}
