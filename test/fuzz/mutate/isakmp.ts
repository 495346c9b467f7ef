import type { Node, Shape } from './tree.js'

// ISAKMP messages as trees, RFC 2408 and RFC 7296: the header, the chain of payloads, and in an SA payload the proposals,
// transforms and attributes. Both versions have them at the same offsets.

const HEADER: Shape = { name: 'message', length: { at: 24, size: 4 }, firstAt: 16 }
const CHAIN: Shape = { name: 'chain' }
const PAYLOAD: Shape = { name: 'payload', nextAt: 0, length: { at: 2, size: 2 } }
const PROPOSAL: Shape = { name: 'proposal', nextAt: 0, length: { at: 2, size: 2 }, countAt: 7 }
const TRANSFORM: Shape = { name: 'transform', nextAt: 0, length: { at: 2, size: 2 } }
const SHORT_ATTRIBUTE: Shape = { name: 'attribute' }
const LONG_ATTRIBUTE: Shape = { name: 'attribute', length: { at: 2, size: 2, without: 4 } }

const SA_V1 = 1
const SA_V2 = 33
const PROPOSAL_TYPE = 2
const TRANSFORM_TYPE = 3
/** DOI and situation stand before IKEv1's proposals. */
const SA_V1_HEAD = 8

const node = (shape: Shape, type: number, head: Uint8Array, inside: Node[] | Uint8Array): Node => ({
  shape,
  type,
  head: head.slice(),
  children: Array.isArray(inside) ? inside : undefined,
  body: Array.isArray(inside) ? new Uint8Array(0) : inside.slice(),
})

const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!

/** A message in the clear, which is well-formed. */
export const messageTree = (m: Uint8Array): Node =>
  node(HEADER, 0, m.subarray(0, 28), chainNodes(m.subarray(28), m[16]!))

/** A chain without its message: what an encrypted message holds. Its `firstType` is that of its first child. */
export const chainTree = (chain: Uint8Array, first: number): Node =>
  node(CHAIN, 0, new Uint8Array(0), chainNodes(chain, first))

/** The body of an SA payload. */
export const saTree = (body: Uint8Array, version: 1 | 2): Node => {
  const head = body.subarray(0, version === 1 ? SA_V1_HEAD : 0)
  return node({ name: 'SA' }, version === 1 ? SA_V1 : SA_V2, head, proposals(body.subarray(head.length)))
}

export const firstType = (chain: Node): number => chain.children?.[0]?.type ?? 0

function chainNodes(b: Uint8Array, first: number): Node[] {
  const out: Node[] = []
  let at = 0
  for (let type = first; type !== 0 && at + 4 <= b.length; ) {
    const end = at + Math.max(4, u16(b, at + 2))
    const body = b.subarray(at + 4, end)
    const head = b.subarray(at, at + 4)
    if (type === SA_V1) {
      const whole = b.subarray(at, at + 4 + SA_V1_HEAD)
      out.push(node(PAYLOAD, type, whole, proposals(body.subarray(SA_V1_HEAD))))
    } else if (type === SA_V2) out.push(node(PAYLOAD, type, head, proposals(body)))
    else out.push(node(PAYLOAD, type, head, body))
    type = b[at]!
    at = end
  }
  return out
}

function proposals(b: Uint8Array): Node[] {
  const out: Node[] = []
  for (let at = 0; at + 8 <= b.length; ) {
    const end = at + Math.max(8, u16(b, at + 2))
    const head = 8 + b[at + 6]!
    out.push(node(PROPOSAL, PROPOSAL_TYPE, b.subarray(at, at + head), transforms(b.subarray(at + head, end))))
    at = end
  }
  return out
}

function transforms(b: Uint8Array): Node[] {
  const out: Node[] = []
  for (let at = 0; at + 8 <= b.length; ) {
    const end = at + Math.max(8, u16(b, at + 2))
    out.push(node(TRANSFORM, TRANSFORM_TYPE, b.subarray(at, at + 8), attributes(b.subarray(at + 8, end))))
    at = end
  }
  return out
}

function attributes(b: Uint8Array): Node[] {
  const out: Node[] = []
  for (let at = 0; at + 4 <= b.length; ) {
    const short = (b[at]! & 0x80) !== 0
    const end = at + 4 + (short ? 0 : u16(b, at + 2))
    const head = b.subarray(at, at + (short ? 2 : 4))
    out.push(node(short ? SHORT_ATTRIBUTE : LONG_ATTRIBUTE, 0, head, b.subarray(at + head.length, end)))
    at = end
  }
  return out
}
