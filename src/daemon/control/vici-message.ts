import { Reader } from '../../bytes/reader.js'
import { Writer } from '../../bytes/writer.js'
import { InternalError, WireError } from '../../errors.js'

// A vici message: nested sections of key/value pairs and lists, each element led by its type octet. Names have a length of
// one octet, values of two, big-endian.
//
//   | type | name length | name ... | value length (u16) | value ... |

const ELEMENT = {
  SECTION_START: 1,
  SECTION_END: 2,
  KEY_VALUE: 3,
  LIST_START: 4,
  LIST_ITEM: 5,
  LIST_END: 6,
} as const

/** Sections in sections, at most. */
const DEPTH_MAX = 16
/** Elements of a message, at most. */
const ELEMENTS_MAX = 100_000
const NAME_MAX = 255
export const VALUE_MAX = 65_535

export type ViciValue = string | readonly string[] | ViciMessage
/** Keys in the order of the message. Objects made by `parseMessage` have no prototype. */
export interface ViciMessage {
  readonly [key: string]: ViciValue
}

type Section = Record<string, ViciValue>

/** @throws WireError for whatever is no message */
export function parseMessage(octets: Uint8Array): ViciMessage {
  const r = new Reader(octets)
  const root: Section = Object.create(null)
  const open: Section[] = [root]
  for (let elements = 0; r.left > 0; elements++) {
    if (elements === ELEMENTS_MAX)
      throw new WireError('vici message', r.at, `more than ${ELEMENTS_MAX} elements`)
    const at = r.at
    const type = r.u8('vici element')
    const section = open[open.length - 1]!
    switch (type) {
      case ELEMENT.SECTION_START: {
        if (open.length > DEPTH_MAX) throw new WireError('vici section', at, `deeper than ${DEPTH_MAX}`)
        const inner: Section = Object.create(null)
        section[name(r)] = inner
        open.push(inner)
        break
      }
      case ELEMENT.SECTION_END:
        if (open.length === 1) throw new WireError('vici section', at, 'ends without a start')
        open.pop()
        break
      case ELEMENT.KEY_VALUE: {
        const key = name(r)
        section[key] = value(r)
        break
      }
      case ELEMENT.LIST_START: {
        const key = name(r)
        section[key] = list(r)
        break
      }
      default:
        throw new WireError('vici element', at, `type ${type} is not expected here`)
    }
  }
  if (open.length !== 1) throw new WireError('vici section', r.at, 'has no end')
  return root
}

function list(r: Reader): string[] {
  const items: string[] = []
  for (;;) {
    const at = r.at
    const type = r.u8('vici list')
    if (type === ELEMENT.LIST_END) return items
    if (type !== ELEMENT.LIST_ITEM) throw new WireError('vici list', at, `type ${type} in a list`)
    if (items.length === ELEMENTS_MAX) throw new WireError('vici list', at, `more than ${ELEMENTS_MAX} items`)
    items.push(value(r))
  }
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

const name = (r: Reader): string => decoder.decode(r.take(r.u8('vici name length'), 'vici name'))
const value = (r: Reader): string => decoder.decode(r.take(r.u16('vici value length'), 'vici value'))

/** @throws InternalError when a name or value is longer than the format can say */
export function emitMessage(message: ViciMessage): Uint8Array {
  const w = new Writer()
  writeSection(w, message)
  return w.finish()
}

function writeSection(w: Writer, section: ViciMessage): void {
  for (const [key, v] of Object.entries(section)) {
    if (typeof v === 'string') {
      writeName(w.u8(ELEMENT.KEY_VALUE), key)
      writeValue(w, v)
    } else if (isList(v)) {
      writeName(w.u8(ELEMENT.LIST_START), key)
      for (const item of v) writeValue(w.u8(ELEMENT.LIST_ITEM), item)
      w.u8(ELEMENT.LIST_END)
    } else {
      writeName(w.u8(ELEMENT.SECTION_START), key)
      writeSection(w, v)
      w.u8(ELEMENT.SECTION_END)
    }
  }
}

const isList = (v: ViciValue): v is readonly string[] => Array.isArray(v)

function writeName(w: Writer, text: string): void {
  const octets = encoder.encode(text)
  if (octets.length > NAME_MAX) throw new InternalError(`a vici name of ${octets.length} octets`)
  w.u8(octets.length).bytes(octets)
}

function writeValue(w: Writer, text: string): void {
  const octets = encoder.encode(text)
  if (octets.length > VALUE_MAX) throw new InternalError(`a vici value of ${octets.length} octets`)
  w.u16(octets.length).bytes(octets)
}

/** The text at a key, or undefined when there is none. */
export function textOf(message: ViciMessage, key: string): string | undefined {
  const v = message[key]
  return typeof v === 'string' ? v : undefined
}
