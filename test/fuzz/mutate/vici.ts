import type { Node, Shape } from './tree.js'

// vici messages as trees: sections, pairs and lists, whose names and values have lengths.

const PACKET: Shape = { name: 'packet' }
const SECTION: Shape = { name: 'section' }
const TEXT8: Shape = { name: 'name', length: { at: 0, size: 1, without: 1 } }
const TEXT16: Shape = { name: 'value', length: { at: 0, size: 2, without: 2 } }
const ELEMENT: Shape = { name: 'element' }

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const leaf = (shape: Shape, head: readonly number[], body: Uint8Array): Node => ({
  shape,
  type: 0,
  head: Uint8Array.from(head),
  children: undefined,
  body,
})
const inner = (shape: Shape, head: readonly number[], children: Node[]): Node => ({
  shape,
  type: 0,
  head: Uint8Array.from(head),
  children,
  body: new Uint8Array(0),
})

const name = (text: string): Node => leaf(TEXT8, [0], utf8(text))
const value = (text: string): Node => leaf(TEXT16, [0, 0], utf8(text))

export interface ViciTreeMessage {
  readonly [key: string]: string | readonly string[] | ViciTreeMessage
}

/** @param type of the packet @param command its name; undefined for types that have none */
export function viciTree(type: number, command: string | undefined, message: ViciTreeMessage): Node {
  const head = command === undefined ? [] : [name(command)]
  return inner(PACKET, [type], [...head, ...elements(message)])
}

function elements(message: ViciTreeMessage): Node[] {
  return Object.entries(message).map(([key, v]) => {
    if (typeof v === 'string') return inner(ELEMENT, [3], [name(key), value(v)])
    if (Array.isArray(v)) {
      const items = (v as readonly string[]).map((item) => inner(ELEMENT, [5], [value(item)]))
      return inner(ELEMENT, [4], [name(key), ...items, leaf(ELEMENT, [6], new Uint8Array(0))])
    }
    const inside = elements(v as ViciTreeMessage)
    return inner(SECTION, [1], [name(key), ...inside, leaf(ELEMENT, [2], new Uint8Array(0))])
  })
}
