import type { Random } from '../random.js'
import { mutateOctets } from './octets.js'

// Mutations that know the shape of a format: nested structures with lengths, counts and chains of "next" types. Lengths
// and chains come out right after a mutation, unless a lie about one of them is the mutation.

/** Where a node's head says how long it is. */
interface LengthField {
  readonly at: number
  readonly size: 1 | 2 | 4
  readonly little?: boolean
  /** Octets of the head that the length does not count. */
  readonly without?: number
  /** The node ends on a multiple of so many octets; the length does not say so. */
  readonly align?: number
}

/** How a format's node is laid out: a head, then children or a body. */
export interface Shape {
  readonly name: string
  readonly length?: LengthField
  /** Where the head of a child names the type of the one after it. */
  readonly nextAt?: number
  /** Where the head names the type of its first child. */
  readonly firstAt?: number
  /** Where the head counts its children, in one octet. */
  readonly countAt?: number
}

export interface Node {
  readonly shape: Shape
  /** As the one before it announces it. */
  type: number
  head: Uint8Array
  /** A node has children or a body, not both. */
  children: Node[] | undefined
  body: Uint8Array
  /** Replace what would be right. */
  lieLength?: number
  lieCount?: number
  lieNext?: number
}

export function cloneNode(n: Node): Node {
  return { ...n, head: n.head.slice(), children: n.children?.map(cloneNode), body: n.body }
}

/** Octets of a node with all below it. */
export function emitNode(n: Node): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(nodeLength(n))
  writeNode(n, out, 0)
  return out
}

function nodeLength(n: Node): number {
  const inside = n.children === undefined ? n.body.length : n.children.reduce((s, c) => s + nodeLength(c), 0)
  return padded(n, n.head.length + inside)
}

function padded(n: Node, length: number): number {
  const align = n.shape.length?.align ?? 1
  return Math.ceil(length / align) * align
}

function writeNode(n: Node, out: Uint8Array, at: number): number {
  const { shape, children } = n
  out.set(n.head, at)
  let end = at + n.head.length
  if (children === undefined) {
    out.set(n.body, end)
    end += n.body.length
  } else
    for (const [i, child] of children.entries()) {
      const from = end
      end = writeNode(child, out, from)
      const { nextAt } = child.shape
      if (nextAt !== undefined && nextAt < child.head.length)
        out[from + nextAt] = child.lieNext ?? children[i + 1]?.type ?? 0
    }
  if (shape.length !== undefined)
    putLength(shape.length, out, at, n.lieLength ?? end - at - (shape.length.without ?? 0))
  const { firstAt, countAt } = shape
  if (firstAt !== undefined && firstAt < n.head.length)
    out[at + firstAt] = n.lieNext ?? children?.[0]?.type ?? 0
  if (countAt !== undefined && countAt < n.head.length)
    out[at + countAt] = n.lieCount ?? children?.length ?? 0
  return at + padded(n, end - at)
}

function putLength(f: LengthField, out: Uint8Array, at: number, length: number): void {
  if (at + f.at + f.size > out.length) return
  const view = new DataView(out.buffer, out.byteOffset)
  if (f.size === 1) view.setUint8(at + f.at, length & 0xff)
  else if (f.size === 2) view.setUint16(at + f.at, length & 0xffff, f.little)
  else view.setUint32(at + f.at, length >>> 0, f.little)
}

/** All nodes of a tree, the root first. */
export function nodesOf(root: Node, out: Node[] = []): Node[] {
  out.push(root)
  for (const c of root.children ?? []) nodesOf(c, out)
  return out
}

export interface TreeOptions {
  /** Other trees of the format, to take nodes from. */
  readonly others: readonly Node[]
  /** Lies about lengths, counts and chains may be told; else the result is always well-formed. */
  readonly lies: boolean
}

/** One to four mutations of a copy. */
export function mutateTree(random: Random, root: Node, o: TreeOptions): Node {
  const copy = cloneNode(root)
  for (let n = 1 + random.below(4); n > 0; n--) mutateOnce(random, copy, o)
  return copy
}

function mutateOnce(random: Random, root: Node, o: TreeOptions): void {
  const nodes = nodesOf(root)
  const node = random.pick(nodes)
  const { children } = node
  if (o.lies && random.oneIn(4)) return lie(random, node)
  if (children === undefined || random.oneIn(4)) return inside(random, node, o)
  const i = random.below(children.length)
  switch (random.below(7)) {
    case 0:
      children.splice(i, 1)
      return
    case 1: {
      const times = random.oneIn(8) ? random.below(140) : 1
      const child = children[i]
      for (let n = 0; n < times && child !== undefined; n++) children.splice(i, 0, cloneNode(child))
      return
    }
    case 2:
      children.reverse()
      return
    case 3: {
      const j = random.below(children.length)
      const [a, b] = [children[i], children[j]]
      if (a !== undefined && b !== undefined) [children[i], children[j]] = [b, a]
      return
    }
    case 4:
    case 5: {
      const donor = random.oneIn(2) || o.others.length === 0 ? root : random.pick(o.others)
      const like = nodesOf(donor).filter((n) => n.shape === (children[0]?.shape ?? n.shape) && n !== donor)
      if (like.length > 0) children.splice(i, random.below(2), cloneNode(random.pick(like)))
      return
    }
    default:
      children.length = 0
  }
}

/** Changes a body, or a head's fields that are neither length nor chain. */
function inside(random: Random, node: Node, o: TreeOptions): void {
  if (random.oneIn(5)) {
    node.type = random.edge(8, node.type)
    return
  }
  const inHead = node.children !== undefined || node.body.length === 0 || random.oneIn(4)
  if (!inHead) {
    const others = nodesOf(random.pick(o.others.length > 0 ? o.others : [node])).map((n) => n.body)
    node.body = mutateOctets(random, node.body, others)
    return
  }
  if (node.head.length === 0) return
  const at = random.below(node.head.length)
  node.head[at] = random.oneIn(2) ? node.head[at]! ^ (1 << random.below(8)) : random.edge(8, node.head[at])
}

function lie(random: Random, node: Node): void {
  const kind = random.below(4)
  if (kind === 0) node.lieNext = random.edge(8, node.type)
  else if (kind === 1) node.lieCount = random.edge(8, node.children?.length ?? 0)
  else node.lieLength = random.edge(node.shape.length?.size === 4 ? 32 : 16, nodeLength(node))
}
