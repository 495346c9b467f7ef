import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex } from '../../src/bytes/octets.js'

// Valid inputs to start from: exchanges recorded between other implementations, and test vectors.

/** The checkout's root: tests run beside their sources, the fuzzer from dist/. */
export const ROOT = join(import.meta.dirname, import.meta.dirname.includes('/dist/') ? '../../..' : '../..')

const vectors = (name: string): unknown =>
  JSON.parse(readFileSync(join(ROOT, 'test', 'vectors', name), 'utf8'))

/** A chain of payloads as it is inside an encrypted message. */
export interface Chain {
  readonly first: number
  readonly octets: Uint8Array
}

interface RecordedMessage {
  readonly message: string
  readonly plaintext?: string
  readonly first_payload?: number
}

/** strongSwan's Main Mode, Quick Mode and Informational: messages in the clear, and the chains of the encrypted ones. */
export function recordedV1(): { clear: Uint8Array[]; encrypted: Uint8Array[]; chains: Chain[] } {
  const { ike_messages } = vectors('ike-session-v1-psk.json') as { ike_messages: RecordedMessage[] }
  const clear: Uint8Array[] = []
  const encrypted: Uint8Array[] = []
  const chains: Chain[] = []
  for (const m of ike_messages) {
    const message = fromHex(m.message)
    if (m.plaintext === undefined) clear.push(message)
    else {
      encrypted.push(message)
      chains.push({ first: message[16]!, octets: fromHex(m.plaintext) })
    }
  }
  return { clear, encrypted, chains }
}

/** All messages of the pre-phase's vectors, both schemes. */
export function prephaseMessages(): Uint8Array[] {
  const { cases } = vectors('prephase.json') as {
    cases: { m1: string; m2: string; m3: string; m4: string }[]
  }
  return cases.flatMap((c) => [c.m1, c.m2, c.m3, c.m4]).map(fromHex)
}

/** Text of the example configurations. */
export const exampleConfig = (name: string): string => readFileSync(join(ROOT, 'config', name), 'utf8')
