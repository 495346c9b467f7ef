import { InternalError } from '../errors.js'
import { PORT_IGNORED, PORT_NONE } from '../wire/ip-packet.js'
import type { TrafficSelector } from '../wire/traffic-selector.js'

/** Selectors of one end of one policy or SA; a TS payload can hold no more (RFC 7296 section 3.13: one octet). */
export const SELECTORS_MAX = 255

const ANY_PORT = 0xffff
// Words of one selector: lowest address, highest address (IPv4: the first word of each), version, protocol, ports.
const START = 0
const END = 4
const VERSION = 8
const PROTOCOL = 9
const START_PORT = 10
const END_PORT = 11
const STRIDE = 12

/** Traffic selectors of one end, laid out for the hot path. A packet's end belongs to the set when one selector matches. */
export class SelectorSet {
  private readonly words: Uint32Array
  private readonly count: number
  /** Some selector is limited to ports, so that later fragments match it not. */
  readonly hasPorts: boolean

  constructor(selectors: readonly TrafficSelector[]) {
    if (selectors.length > SELECTORS_MAX)
      throw new InternalError(`${selectors.length} traffic selectors, at most ${SELECTORS_MAX}`)
    this.count = selectors.length
    this.words = new Uint32Array(selectors.length * STRIDE)
    this.hasPorts = selectors.some((ts) => ts.startPort !== 0 || ts.endPort !== ANY_PORT)
    for (const [i, ts] of selectors.entries()) {
      const w = i * STRIDE
      if (ts.start.length !== ts.end.length || (ts.start.length !== 4 && ts.start.length !== 16))
        throw new InternalError('a traffic selector with addresses of different families')
      putAddress(this.words, w + START, ts.start)
      putAddress(this.words, w + END, ts.end)
      this.words[w + VERSION] = ts.start.length === 4 ? 4 : 6
      this.words[w + PROTOCOL] = ts.protocol
      this.words[w + START_PORT] = ts.startPort
      this.words[w + END_PORT] = ts.endPort
    }
  }

  /**
   * @param v view of the octets that hold the address, in network order, at `at`
   * @param port host order, PORT_NONE (only selectors for any port match) or PORT_IGNORED
   */
  matches(v: DataView, version: 4 | 6, at: number, protocol: number, port: number): boolean {
    const w = this.words
    for (let i = 0, s = 0; i < this.count; i++, s += STRIDE) {
      if (w[s + VERSION] !== version) continue
      if (w[s + PROTOCOL] !== 0 && w[s + PROTOCOL] !== protocol) continue
      if (port === PORT_NONE) {
        if (w[s + START_PORT] !== 0 || w[s + END_PORT] !== ANY_PORT) continue
      } else if (port !== PORT_IGNORED && (port < w[s + START_PORT]! || port > w[s + END_PORT]!)) continue
      if (version === 4) {
        const address = v.getUint32(at)
        if (address < w[s + START]! || address > w[s + END]!) continue
      } else if (compareWords(v, at, w, s + START) < 0 || compareWords(v, at, w, s + END) > 0) continue
      return true
    }
    return false
  }
}

function putAddress(words: Uint32Array, at: number, address: Uint8Array): void {
  const v = new DataView(address.buffer, address.byteOffset, address.length)
  for (let i = 0; i < address.length; i += 4) words[at + i / 4] = v.getUint32(i)
}

function compareWords(v: DataView, at: number, words: Uint32Array, from: number): number {
  for (let i = 0; i < 4; i++) {
    const a = v.getUint32(at + i * 4)
    const b = words[from + i]!
    if (a !== b) return a < b ? -1 : 1
  }
  return 0
}
