import { createHash, createHmac } from 'node:crypto'

// The pre-phase written down once more, slowly and plainly: every message octet by octet, every derivation in one line,
// on nothing but node:crypto and Buffer. It shares no code with the product and is what the fixed vectors come from.

const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const hmac = (key: Buffer, ...parts: Buffer[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest()
const ascii = (text: string): Buffer => Buffer.from(text, 'ascii')
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((v, i) => v ^ b[i]!))

const extract = (salt: Buffer, ikm: Buffer): Buffer => hmac(salt, ikm)

/** At most 64 octets, which is all that is needed: T(1) | T(2). */
function expand(prk: Buffer, info: Buffer, length: 32 | 64): Buffer {
  const t1 = hmac(prk, info, Buffer.of(1))
  const t2 = hmac(prk, t1, info, Buffer.of(2))
  return Buffer.concat([t1, t2]).subarray(0, length)
}

function payload(next: number, body: Buffer): Buffer {
  const head = Buffer.of(next, 0, 0, 0)
  head.writeUInt16BE(4 + body.length, 2)
  return Buffer.concat([head, body])
}

function message(ci: Buffer, cr: Buffer, first: number, step: number, chain: Buffer[]): Buffer {
  const body = Buffer.concat(chain)
  const head = Buffer.alloc(28)
  ci.copy(head, 0)
  cr.copy(head, 8)
  head[16] = first
  head[17] = 0x10
  head[18] = 241
  head[19] = 0
  head.writeUInt32BE(step, 20)
  head.writeUInt32BE(28 + body.length, 24)
  return Buffer.concat([head, body])
}

export interface TwinInput {
  readonly kab: Buffer
  readonly ci: Buffer
  readonly cr: Buffer
  /** ID payload bodies. */
  readonly ida: Buffer
  readonly idb: Buffer
  readonly na: Buffer
  readonly nb: Buffer
  /** Unix time of step 1, hardened only. */
  readonly seconds: number
  readonly nanoseconds: number
}

export interface TwinOutput {
  readonly m1: Buffer
  readonly m2: Buffer
  readonly m3: Buffer
  readonly m4: Buffer
  readonly psk: Buffer
  readonly ppk: Buffer | undefined
}

const VID = 13
const ID = 5
const HASH = 8
const NONCE = 10
const N = 11
const ZERO8 = Buffer.alloc(8)
const ZERO32 = Buffer.alloc(32)

/** The ID payload body of a fully qualified name. */
export const fqdn = (name: string): Buffer => Buffer.concat([Buffer.of(2, 0, 0, 0), ascii(name)])

export function classicTwin(x: TwinInput): TwinOutput {
  const vid = sha256(ascii('sallyport dynamic PSK classic 1')).subarray(0, 16)
  const m1 = message(x.ci, ZERO8, VID, 1, [
    payload(ID, vid),
    payload(NONCE, x.ida),
    payload(0, xor(x.kab, x.na)),
  ])
  const m2 = message(x.ci, x.cr, VID, 2, [
    payload(ID, vid),
    payload(HASH, x.idb),
    payload(NONCE, sha256(x.na)),
    payload(0, xor(x.kab, x.nb)),
  ])
  const m3 = message(x.ci, x.cr, HASH, 3, [payload(0, sha256(x.nb))])
  const m4 = message(x.ci, x.cr, N, 4, [payload(0, Buffer.from('0000000101004000', 'hex'))])
  return { m1, m2, m3, m4, psk: Buffer.concat([x.na, x.nb]), ppk: undefined }
}

export function hardenedTwin(x: TwinInput): TwinOutput {
  const vid = sha256(ascii('sallyport dynamic PSK hardened 1')).subarray(0, 16)
  const p = extract(ascii('sallyport hardened 1'), x.kab)
  const info = (label: string, ...ctx: Buffer[]): Buffer =>
    Buffer.concat([ascii(label), Buffer.of(0), ...ctx])
  const l = (b: Buffer): Buffer => Buffer.concat([Buffer.of(b.length >> 8, b.length & 255), b])
  const t = Buffer.alloc(12)
  t.writeBigUInt64BE(2n ** 62n + 10n + BigInt(x.seconds), 0)
  t.writeUInt32BE(x.nanoseconds, 8)

  const nonce1 = Buffer.concat([t, xor(x.na, expand(p, info('mask i', x.ci, l(x.ida), t), 32))])
  const step1 = (hash: Buffer): Buffer =>
    message(x.ci, ZERO8, VID, 1, [
      payload(ID, vid),
      payload(NONCE, x.ida),
      payload(HASH, nonce1),
      payload(0, hash),
    ])
  const m1 = step1(hmac(expand(p, info('mac 1'), 32), step1(ZERO32)))

  const nonce2 = xor(x.nb, expand(p, info('mask r', x.ci, x.cr, l(x.ida), l(x.idb)), 32))
  const step2 = (hash: Buffer): Buffer =>
    message(x.ci, x.cr, VID, 2, [
      payload(ID, vid),
      payload(NONCE, x.idb),
      payload(HASH, nonce2),
      payload(0, hash),
    ])
  const q2 = expand(extract(p, x.na), info('proof r'), 32)
  const m2 = step2(hmac(q2, m1, step2(ZERO32)))

  const both = extract(p, Buffer.concat([x.na, x.nb]))
  const step3 = (hash: Buffer): Buffer => message(x.ci, x.cr, HASH, 3, [payload(0, hash)])
  const m3 = step3(hmac(expand(both, info('proof i'), 32), m1, m2, step3(ZERO32)))
  const step4 = (hash: Buffer): Buffer => message(x.ci, x.cr, HASH, 4, [payload(0, hash)])
  const m4 = step4(hmac(expand(both, info('confirm'), 32), m1, m2, m3, step4(ZERO32)))

  const transcript = sha256(m1, m2, m3, m4)
  return {
    m1,
    m2,
    m3,
    m4,
    psk: expand(both, info('psk', transcript), 64),
    ppk: expand(both, info('ppk', transcript), 32),
  }
}
