import { hex } from '../../../src/bytes/octets.js'
import type { Endpoint, IkeEnvironment, IkeSaKeys } from '../../../src/ike/environment.js'
import { type IkeHeader, parseIkeHeader } from '../../../src/wire/ike/header.js'
import type { PayloadInit } from '../../../src/wire/ike/payloads.js'
import { MessageNames, payloadName } from './names.js'
import { Rewriter, type V1Secrets } from './rewrite.js'
import type { Rule } from './rules.js'

/** A message that is to be overtaken waits so long for another one. */
const HOLD_MS = 300
/** Changed messages that are kept, to repeat them as they were. */
const KEPT_MAX = 64

export interface ImpairOptions {
  /** Calls back after so many milliseconds. */
  later(ms: number, run: () => void): void
  /** Of the end's own established IKEv1 SA. */
  secretsOf?(initiatorCookie: Uint8Array): V1Secrets | undefined
}

/** Stands between an end's IKE and the world, and does wrong to what the end sends. */
export class Impairer {
  /** May be replaced at any time. */
  rules: readonly Rule[]
  /** What it has done, each message and rule once. */
  readonly done: string[] = []
  private readonly options: ImpairOptions
  private readonly names = new MessageNames()
  private rewriter: Rewriter | undefined
  private readonly changed = new Map<string, Uint8Array>()
  private readonly met = new Map<Rule, Set<string>>()
  private held: (() => void) | undefined

  constructor(rules: readonly Rule[], options: ImpairOptions) {
    this.rules = rules
    this.options = options
  }

  /** The environment that the end is given instead of its own. */
  wrap<E extends IkeEnvironment>(env: E): E {
    const rewriter = new Rewriter(
      (length) => env.random(length),
      (ci) => this.options.secretsOf?.(ci),
    )
    this.rewriter = rewriter
    const wrapped: E = Object.create(env)
    return Object.assign(wrapped, {
      keyLog: (keys: IkeSaKeys) => {
        rewriter.keys(keys)
        env.keyLog?.(keys)
      },
      send: (local: Endpoint, remote: Endpoint, message: Uint8Array) =>
        this.send(message, (octets) => env.send(local, remote, octets)),
    })
  }

  /** A message that the end is given. */
  observe(message: Uint8Array): void {
    try {
      this.names.received(parseIkeHeader(message), message)
    } catch {
      // Whatever it is, it has no name.
    }
  }

  private send(original: Uint8Array, out: (message: Uint8Array) => void): void {
    const header = parseIkeHeader(original)
    const name = this.names.sent(header, original)
    const rules = this.rules.filter((r) => r.message === name && this.meets(r, original))
    const message = this.payloads(header, original, rules)
    let send = (): void => out(message)
    for (const rule of rules) {
      if (rule.payload !== undefined) continue
      this.done.push(`${rule.do} ${name}`)
      send = this.whole(rule, message, out, send)
    }
    const { held } = this
    this.held = undefined
    send()
    held?.()
  }

  /** Whether the rule holds for the message. A repetition is the same message. */
  private meets(rule: Rule, message: Uint8Array): boolean {
    const met = this.met.get(rule) ?? new Set()
    this.met.set(rule, met)
    const key = hex(message)
    if (!met.has(key) && met.size >= (rule.times ?? KEPT_MAX)) return false
    met.add(key)
    return true
  }

  private whole(rule: Rule, message: Uint8Array, out: (m: Uint8Array) => void, send: () => void): () => void {
    switch (rule.do) {
      case 'omit':
        return () => {}
      case 'double':
        return () => {
          send()
          send()
        }
      case 'corrupt':
        return () => out(spoilt(message))
      case 'delay':
        return () => this.options.later(rule.ms ?? 0, send)
      case 'reorder':
        return () => {
          const once = (): void => {
            if (this.held === once) this.held = undefined
            if (sent) return
            sent = true
            send()
          }
          let sent = false
          this.held = once
          this.options.later(HOLD_MS, once)
        }
    }
  }

  private payloads(header: IkeHeader, original: Uint8Array, rules: readonly Rule[]): Uint8Array {
    const meant = rules.filter((r) => r.payload !== undefined)
    if (meant.length === 0) return original
    const key = hex(original)
    const known = this.changed.get(key)
    if (known !== undefined) return known
    const message = this.rewriter?.rewrite(header, original, (payloads) =>
      meant.reduce((list, rule) => this.changePayloads(header, list, rule), payloads),
    )
    if (message === undefined) return original
    this.changed.set(key, message)
    if (this.changed.size > KEPT_MAX) this.changed.delete(this.changed.keys().next().value!)
    return message
  }

  private changePayloads(
    header: IkeHeader,
    payloads: readonly PayloadInit[],
    rule: Rule,
  ): readonly PayloadInit[] {
    const isMeant = (p: PayloadInit): boolean => payloadName(header, p) === rule.payload
    if (!payloads.some(isMeant)) return payloads
    this.done.push(`${rule.do} ${rule.payload} in ${rule.message}`)
    switch (rule.do) {
      case 'omit':
        return payloads.filter((p) => !isMeant(p))
      case 'double':
        return payloads.flatMap((p) => (isMeant(p) ? [p, p] : [p]))
      case 'corrupt':
        return payloads.map((p) => (isMeant(p) ? { ...p, body: spoilt(p.body) } : p))
      default:
        return [...payloads.filter((p) => !isMeant(p)), ...payloads.filter(isMeant)]
    }
  }
}

function spoilt(octets: Uint8Array): Uint8Array {
  const out = new Uint8Array(octets)
  if (out.length > 0) out[out.length - 1]! ^= 0xff
  return out
}
