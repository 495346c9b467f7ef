import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { ikeSpiOf, spiOf } from '../interop/tunnel.js'
import { type Gateway, keyLogOf } from '../lab/gateway.js'
import type { Lab } from '../lab/lab.js'
import { tsharkFields } from './tshark.js'

// The life of an IKE SA on the wire of a lab, and what tshark finds in it with the key log of host a.

/** Exchange types (RFC 2408, RFC 2409, RFC 7296, RFC 9242, RFC 9370). */
export const EXCHANGE = {
  MAIN: 2,
  INFORMATIONAL_V1: 5,
  QUICK: 32,
  SA_INIT: 34,
  AUTH: 35,
  CREATE: 36,
  INFORMATIONAL: 37,
  INTERMEDIATE: 43,
  FOLLOWUP: 44,
}

/** Payloads of IKEv2. */
const P = { SA: 33, KE: 34, AUTH: 39, NONCE: 40, NOTIFY: 41, DELETE: 42, TSI: 44, TSR: 45, SK: 46, SKF: 53 }
/** Wireshark's own number for a fragment of IKEv1. */
const FRAGMENT_V1 = 132

/** Wireshark reads every CERT payload as a certificate, raw public keys (RFC 7670) too. */
const RAW_KEY_AS_CERTIFICATE = /^BER Error: Wrong field in SEQUENCE/

/** Liveness, renewals of both SAs, Deletes of both. The first exchanges are over, or begin with a packet. */
export async function live(lab: Lab, a: Gateway, peer: string, end: () => Promise<void>): Promise<void> {
  const first = await a.until('up', (s) => spiOf(s) !== undefined)
  const child = first.peers[0]!.children[0]!.name
  await sleep(1_500)
  await a.rekey(child)
  await a.until('with another pair', (s) => spiOf(s) !== spiOf(first))
  await a.rekeyIke(peer)
  await a.until('with another IKE SA', (s) => ikeSpiOf(s) !== ikeSpiOf(first))
  await sleep(300)
  await a.terminate(child)
  await sleep(200)
  await end()
  // The wire writes what it has seen in large pieces.
  await lab.wire.watch()
}

/** A message as tshark reads it. */
interface Read {
  readonly exchange: number
  /** It is encrypted, and its payloads are there when the key fits. */
  readonly encrypted: boolean
  readonly payloads: readonly number[]
  readonly notifications: readonly number[]
  /** What tshark has to say against it: malformed, cut short, or an expert's warning or error. A wrong SK_a is a warning to it. */
  readonly faults: readonly string[]
}

const FIELDS = [
  ...['isakmp.exchangetype', 'isakmp.flag_e', 'isakmp.typepayload', 'isakmp.notify.msgtype'],
  ...['_ws.malformed', '_ws.short', '_ws.expert.severity', '_ws.expert.message'],
]
const WARNING = 0x600000

const numbers = (text = ''): number[] => (text === '' ? [] : text.split(',').map(Number))

function readOf(line: string): Read {
  const [exchange, flag, types, notifications, malformed, short, severity, message = ''] = line.split('\t')
  const payloads = numbers(types)
  const raised = numbers(severity).some((s) => s >= WARNING)
  const faults = [malformed, short, raised ? message : ''].flatMap((fault) => fault || [])
  return {
    // Of a message in fragments the whole is shown at the last, behind it.
    exchange: numbers(exchange).at(-1)!,
    encrypted: flag?.includes('1') === true || payloads.includes(P.SK) || payloads.includes(P.SKF),
    payloads,
    notifications: numbers(notifications),
    faults: RAW_KEY_AS_CERTIFICATE.test(message) ? [] : faults,
  }
}

/** What tshark reads of a capture. */
export class Dissected {
  private readonly messages: readonly Read[]

  /** @param filter of the messages that are looked at */
  constructor(lab: Lab, filter = 'isakmp', keys = keyLogOf(lab, 'keys', 'a')) {
    this.messages = tsharkFields(lab.path('wire.pcapng'), keys, filter, ...FIELDS).map(readOf)
  }

  /** The messages before a second key exchange, with the keys that they have. */
  static interim(lab: Lab): Dissected {
    const keys = lab.path('keys-interim')
    mkdirSync(keys)
    const from = join(keyLogOf(lab, 'keys', 'a'), 'ikev2_decryption_table.interim')
    cpSync(from, join(keys, 'ikev2_decryption_table'))
    return new Dissected(lab, `isakmp.exchangetype == ${EXCHANGE.INTERMEDIATE}`, keys)
  }

  /** All but those. */
  static behind(lab: Lab): Dissected {
    return new Dissected(lab, `isakmp && isakmp.exchangetype != ${EXCHANGE.INTERMEDIATE}`)
  }

  /** With keys that are the log's but for one octet of SK_ai. */
  static withWrongIntegrity(lab: Lab): Dissected {
    const keys = lab.path('keys-wrong')
    cpSync(keyLogOf(lab, 'keys', 'a'), keys, { recursive: true })
    const table = join(keys, 'ikev2_decryption_table')
    const lines = readFileSync(table, 'utf8').split('\n')
    // SPIi, SPIr, SK_ei, SK_er, the cipher, SK_ai: there is no comma in a name.
    const wrong = lines.map((line) => line.replace(/^((?:[^,]*,){5})(..)/, (_, before) => `${before}5a`))
    writeFileSync(table, wrong.join('\n'))
    return new Dissected(lab, 'isakmp', keys)
  }

  get faults(): readonly string[] {
    return this.messages.flatMap((m) => m.faults)
  }

  expectClean(): void {
    expect(this.messages.length).toBeGreaterThan(0)
    expect(this.faults).toEqual([])
  }

  /** Payload types of the encrypted messages of an exchange. With a key that does not fit there would be none. */
  private of(exchange: number): string[] {
    return this.messages.filter((m) => m.exchange === exchange && m.encrypted).map((m) => m.payloads.join())
  }

  /** How many of them have all of these payloads and none of those. */
  private count(exchange: number, all: readonly number[], none: readonly number[] = []): number {
    const has = (types: string, type: number): boolean => types.split(',').includes(`${type}`)
    return this.of(exchange).filter((t) => all.every((x) => has(t, x)) && !none.some((x) => has(t, x))).length
  }

  /** Expects every exchange of `live`, and that messages came in pieces or did not. */
  expectLife(version: 1 | 2, inFragments = false): void {
    this.expectClean()
    const of = (exchange: number): string[] => this.of(exchange)
    const pieces = version === 2 ? P.SKF : FRAGMENT_V1
    expect(this.messages.some((m) => m.payloads.includes(pieces))).toBe(inFragments)
    if (version === 1) {
      // ID and HASH, of two IKE SAs; HASH and SA; HASH and a notification of DPD, HASH and Delete.
      expect(of(EXCHANGE.MAIN).filter((t) => /(^|,)5,(11,)?8/.test(t))).toHaveLength(4)
      expect(of(EXCHANGE.QUICK).filter((t) => /(^|,)8,1,/.test(t)).length).toBeGreaterThanOrEqual(4)
      expect(of(EXCHANGE.INFORMATIONAL_V1).filter((t) => /8,11$/.test(t)).length).toBeGreaterThanOrEqual(2)
      expect(of(EXCHANGE.INFORMATIONAL_V1).filter((t) => /8,12$/.test(t)).length).toBeGreaterThanOrEqual(1)
      return
    }
    expect(this.count(EXCHANGE.AUTH, [P.AUTH, P.SA, P.TSI, P.TSR])).toBe(2)
    // Of a CHILD_SA, and of the IKE SA.
    expect(this.count(EXCHANGE.CREATE, [P.SA, P.NONCE, P.TSI, P.TSR])).toBeGreaterThanOrEqual(2)
    expect(this.count(EXCHANGE.CREATE, [P.SA, P.NONCE, P.KE], [P.TSI])).toBeGreaterThanOrEqual(2)
    expect(this.count(EXCHANGE.INFORMATIONAL, [P.DELETE])).toBeGreaterThanOrEqual(2)
    expect(of(EXCHANGE.INFORMATIONAL).filter((t) => t === `${P.SK}`).length).toBeGreaterThanOrEqual(2)
  }

  /** Expects second key exchanges at the renewals of both SAs. */
  expectFollowUps(): void {
    expect(this.count(EXCHANGE.FOLLOWUP, [P.KE])).toBe(4)
  }

  expectIntermediate(): void {
    this.expectClean()
    expect(this.count(EXCHANGE.INTERMEDIATE, [P.KE])).toBe(2)
  }

  /** Types of the notifications, RFC 7296 section 3.10.1. */
  notifications(): Set<number> {
    return new Set(this.messages.flatMap((m) => m.notifications))
  }
}
