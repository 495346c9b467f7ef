import { WireError } from '../../../src/errors.js'
import { findLink, reach } from '../../../src/net/links.js'
import { neighbour } from '../../../src/net/neighbours.js'
import type { NetlinkSocket } from '../../../src/net/netlink.js'
import {
  decodeAttributeList,
  decodeAttributes,
  decodeMessages,
  NLMSG_HEADER_LEN,
} from '../../../src/net/netlink-message.js'
import { ip } from '../../unit/ipsec/fixtures.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree, type Node, type Shape } from '../mutate/tree.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'

const DATAGRAM: Shape = { name: 'datagram' }
const MESSAGE: Shape = { name: 'message', length: { at: 0, size: 4, little: true, align: 4 } }
const ATTRIBUTE: Shape = { name: 'attribute', length: { at: 0, size: 2, little: true, align: 4 } }

const node = (shape: Shape, head: Uint8Array, inside: Node[] | Uint8Array): Node => ({
  shape,
  type: 0,
  head,
  children: Array.isArray(inside) ? inside : undefined,
  body: Array.isArray(inside) ? new Uint8Array(0) : inside,
})

const attribute = (type: number, value: Node[] | readonly number[]): Node =>
  node(
    ATTRIBUTE,
    Uint8Array.of(0, 0, type & 0xff, type >>> 8),
    value.length > 0 && typeof value[0] === 'object' ? (value as Node[]) : Uint8Array.from(value as number[]),
  )

function message(type: number, fixed: readonly number[], attributes: Node[]): Node {
  const head = new Uint8Array(NLMSG_HEADER_LEN + fixed.length)
  head.set([0, 0, 0, 0, type, 0, 0, 0, 1])
  head.set(fixed, NLMSG_HEADER_LEN)
  return node(MESSAGE, head, attributes)
}

const zero = (n: number): number[] => new Array<number>(n).fill(0)
const LINK = message(
  16,
  [0, 0, 1, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
  [
    attribute(3, [...new TextEncoder().encode('eth0\0')]),
    attribute(4, [0xdc, 5, 0, 0]),
    attribute(0x8012, [attribute(1, [118, 101, 116, 104, 0])]),
  ],
)
const ROUTE = message(
  24,
  [2, 32, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0],
  [
    attribute(15, [254, 0, 0, 0]),
    attribute(1, [192, 0, 2, 2]),
    attribute(4, [3, 0, 0, 0]),
    attribute(7, [192, 0, 2, 1]),
    attribute(5, [192, 0, 2, 254]),
    attribute(18, [10, 0, ...zero(16)]),
    attribute(0x8008, [attribute(2, [0x78, 5, 0, 0])]),
  ],
)
const NEIGHBOUR = message(
  28,
  [2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 1],
  [attribute(1, [192, 0, 2, 2]), attribute(2, [2, 0, 0, 0, 0, 1]), attribute(8, [3, 0, 0, 0])],
)
const TREES = [LINK, ROUTE, NEIGHBOUR].map((m) => node(DATAGRAM, new Uint8Array(0), [m]))
const corpus = TREES.map(emitNode)
const ADDRESS = ip('192.0.2.2')

/** Answers that the kernel would have to be broken to give; rtnetlink's and nfnetlink's. */
export const NETLINK: Target = {
  name: 'netlink',
  about: 'answers of the kernel: messages, attributes, and what is read of links, routes and neighbours',
  prepare() {
    return {
      run(random, trace) {
        const octets = hostile(random)
        trace.input(octets)
        trace.parse('messages', WireError, () => {
          const list = decodeMessages(octets)
          const total = list.reduce((n, m) => n + NLMSG_HEADER_LEN + m.body.length, 0)
          must(total <= octets.length, 'messages of more octets than there are')
        })
        trace.parse('attributes', WireError, () => {
          const list = decodeAttributeList(octets)
          must(list.length * 4 <= octets.length, 'attributes of more octets than there are')
          must(decodeAttributes(octets).size <= list.length, 'attributes from nowhere')
        })
        const kernel = answering(random)
        readAll(trace, kernel)
      },
    }
  },
}

const hostile = (random: Random): Uint8Array => {
  const i = random.below(TREES.length)
  return random.oneIn(3)
    ? mutateOctets(random, corpus[i]!, corpus)
    : emitNode(mutateTree(random, TREES[i]!, { others: TREES, lies: random.oneIn(2) }))
}

/** In the kernel's place: the twin of NetlinkSocket's two questions. */
function answering(random: Random): NetlinkSocket {
  const bodies = [0, 1, 2, 3, 4].map(() => hostile(random).slice(NLMSG_HEADER_LEN))
  let i = 0
  const next = () => ({ type: 16, flags: 0, sequence: 1, body: bodies[i++ % bodies.length]! })
  const twin = { protocol: 'route', ask: next, dump: () => [next(), next()] }
  return twin as unknown as NetlinkSocket
}

function readAll(trace: Trace, kernel: NetlinkSocket): void {
  trace.parse('link', WireError, () => {
    const link = findLink(kernel, 'eth0')
    trace.value(link?.mtu ?? -1)
  })
  trace.parse('reach', WireError, () => {
    const found = reach(kernel, ADDRESS, 1)
    trace.value(found?.mtu ?? -1)
  })
  trace.parse('neighbour', WireError, () => {
    const mac = neighbour(kernel, 3, ADDRESS)
    must(mac === undefined || mac.length === 6, 'an Ethernet address of another length')
    trace.outcome(mac === undefined ? 'no neighbour' : 'a neighbour')
  })
}
