import type { IkeEnvironment, Millis } from '../environment.js'

// Why a message was refused. Each cause is the counter `prephase.<cause>` and at most one log line in a while; the
// sender is told nothing.

type Level = 'debug' | 'info' | 'warn' | 'error'

/** Cause, level of its log line, and what the line says. */
const CAUSES = {
  malformed: ['debug', 'a message does not parse'],
  'unknown-address': ['info', 'a message comes from an address that no peer has'],
  'unknown-id': ['warn', 'a message names an identity that no peer at its address has'],
  'other-id': ['warn', 'the peer answers under another identity than the configured one'],
  'own-id': [
    'warn',
    'a message carries our own identity as the peer’s: it was reflected, or both ends have one identity',
  ],
  'own-cookie': ['warn', 'a message of ours came back: it was reflected'],
  'unknown-cookie': ['debug', 'a message belongs to no exchange under way'],
  'cookie-reused': ['info', 'a different step 1 uses the cookie of an exchange under way'],
  'scheme-mismatch': ['warn', 'dynamic PSK scheme mismatch: the peer’s dynamic_psk setting is not ours'],
  'bad-mac': ['warn', 'step 1 does not verify: the keys of the two hosts differ, or the message is forged'],
  'bad-proof': [
    'warn',
    'a proof does not verify: the keys of the two hosts differ, or the message is forged',
  ],
  'stale-timestamp': [
    'info',
    'step 1 has a timestamp that is not newer than the last accepted one: it was repeated',
  ],
  'rate-limit': ['warn', 'more messages than the rate limit allows'],
  'half-open': ['warn', 'too many half-open exchanges, the oldest was dropped'],
  'finished-limit': [
    'warn',
    'too many finished exchanges that no IKE exchange follows, the oldest was dropped',
  ],
  'repeat-limit': ['info', 'a step was repeated too often'],
  'unexpected-step': ['debug', 'a step that the exchange does not wait for'],
  'peer-waits': ['debug', 'both ends start at once and ours goes first'],
  'timestamp-store': ['error', 'timestamps cannot be stored, nothing is answered'],
  internal: ['error', 'a fault of ours while a message was handled'],
} as const satisfies Record<string, readonly [Level, string]>

export type Cause = keyof typeof CAUSES
export const REFUSAL_CAUSES = Object.keys(CAUSES) as readonly Cause[]

/** Causes that tell an operator why no pre-phase comes about with a peer. */
export const TELLING: ReadonlySet<Cause> = new Set([
  'unknown-id',
  'other-id',
  'own-id',
  'scheme-mismatch',
  'bad-mac',
  'bad-proof',
  'stale-timestamp',
  'timestamp-store',
])

/** @param fields public facts about it */
export function explain(cause: Cause, fields: Record<string, unknown> = {}): string {
  const { ours, theirs, id, expected, error } = fields
  const facts = [
    ...(theirs === undefined ? [] : [`ours ${String(ours)}, theirs ${String(theirs)}`]),
    ...(id === undefined ? [] : [`it says ${String(id)} where we expect ${String(expected)}`]),
    ...(error === undefined ? [] : [String(error)]),
  ]
  return [CAUSES[cause][1], ...facts].join(': ')
}

/** Counts refusals and logs the first of each cause and peer in every `everyMs`. Bounded by causes times peers. */
export class Refusals {
  private readonly env: IkeEnvironment
  private readonly everyMs: number
  private readonly lines = new Map<string, { quietUntil: Millis; suppressed: number }>()

  constructor(env: IkeEnvironment, everyMs: number) {
    this.env = env
    this.everyMs = everyMs
  }

  /**
   * @param peer configured name, undefined when the message could not be laid to a peer's account
   * @param fields public facts for the log line
   */
  refuse(now: Millis, cause: Cause, peer: string | undefined, fields: Record<string, unknown> = {}): void {
    this.env.count(`prephase.${cause}`)
    const key = `${cause} ${peer ?? ''}`
    const line = this.lines.get(key)
    if (line !== undefined && now < line.quietUntil) {
      line.suppressed++
      return
    }
    const [level] = CAUSES[cause]
    const suppressed = line === undefined || line.suppressed === 0 ? {} : { suppressed: line.suppressed }
    this.lines.set(key, { quietUntil: now + this.everyMs, suppressed: 0 })
    this.env.log(level, `pre-phase: ${explain(cause, fields)}`, {
      cause,
      ...(peer === undefined ? {} : { peer }),
      ...fields,
      ...suppressed,
    })
  }
}
