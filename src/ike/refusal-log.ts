import type { IkeEnvironment, Millis } from './environment.js'

/** Causes without a peer that an operator wants to know of, if not to be warned of. */
const WORTH_KNOWING: Readonly<Record<string, string>> = {
  'unknown-peer': 'a message comes from an address that no peer has',
}

/**
 * Counts every refused message under its cause and tells the log once in a while. Bounded by the number of causes, which
 * are words of ours, times the number of peers.
 */
export class RefusalLog {
  private readonly env: IkeEnvironment
  private readonly everyMs: number
  private readonly toldAt = new Map<string, Millis>()

  constructor(env: IkeEnvironment, everyMs: number) {
    this.env = env
    this.everyMs = everyMs
  }

  /** @param error what the operator should read; without it the refusal is a detail for debugging */
  refuse(
    now: Millis,
    cause: string,
    peer: string | undefined,
    error?: string,
    fields?: Record<string, unknown>,
  ): void {
    this.env.count(`ike.${cause}`)
    const key = `${cause} ${peer ?? ''}`
    const last = this.toldAt.get(key)
    if (last !== undefined && now - last < this.everyMs) return
    this.toldAt.set(key, now)
    const known = WORTH_KNOWING[cause]
    const level = error !== undefined ? 'warn' : known !== undefined ? 'info' : 'debug'
    const message = `ike: ${error ?? known ?? `message refused: ${cause.replaceAll('-', ' ')}`}`
    this.env.log(level, message, { ...(peer !== undefined && { peer }), cause, ...fields })
  }
}
