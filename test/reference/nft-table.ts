import { decodeAttributes, encodeAttributes } from '../../src/net/netlink-message.js'
import type { NftExpression } from '../../src/net/nft-expressions.js'
import type { NftChain, NftTable } from '../../src/net/nftables.js'

// A slow twin of nf_tables: runs the rules of a chain over one packet, octet by octet as linux/netfilter/nf_tables.h says.

export interface FilteredPacket {
  readonly inputDevice: string
  readonly outputDevice: string
  readonly mark: number
  /** From the IP header on. */
  readonly network: Uint8Array
  /** From the upper-layer header on; empty for a fragment whose ports are not known. */
  readonly transport: Uint8Array
  readonly protocol: number
}

const NFT_JUMP = -3
const BREAK = Symbol('the rule does not hold')

/** What becomes of the packet in a chain whose policy is to accept. */
export function verdictOf(
  table: NftTable,
  hook: NftChain['hook'],
  packet: FilteredPacket,
): 'accept' | 'drop' {
  for (const chain of table.chains.filter((c) => c.hook === hook)) {
    const verdict = verdictIn(table, chain, packet)
    if (verdict !== undefined) return verdict
  }
  return 'accept'
}

function verdictIn(
  table: NftTable,
  { rules }: NftChain,
  packet: FilteredPacket,
): 'accept' | 'drop' | undefined {
  for (const rule of rules) {
    const registers = new Uint8Array(64)
    for (const e of rule.expressions) {
      const done = evaluate(table, e, packet, registers)
      if (done === BREAK) break
      if (done !== undefined) return done
    }
  }
  return undefined
}

function evaluate(
  table: NftTable,
  e: NftExpression,
  packet: FilteredPacket,
  registers: Uint8Array,
): 'accept' | 'drop' | typeof BREAK | undefined {
  const { name, data } = decoded(e)
  const number = (type: number): number => new DataView(data.get(type)!.slice().buffer).getUint32(0)
  const value = (type: number): Uint8Array => decodeAttributes(data.get(type)!).get(1)!
  const load = (octets: Uint8Array, register: number): undefined => {
    const at = place(register)
    registers.fill(0, at, at + ((octets.length + 3) & ~3))
    registers.set(octets, at)
  }
  switch (name) {
    case 'meta':
      return load(metaOf(packet, number(2)), number(1))
    case 'payload': {
      const from = number(2) === 1 ? packet.network : packet.transport
      const [at, length] = [number(3), number(4)]
      return at + length > from.length ? BREAK : load(from.subarray(at, at + length), number(1))
    }
    case 'cmp': {
      const wanted = value(3)
      const order = Buffer.compare(
        registers.subarray(place(number(1)), place(number(1)) + wanted.length),
        wanted,
      )
      const holds = [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][number(2)]
      return holds ? undefined : BREAK
    }
    case 'lookup': {
      const set = table.sets.find((x) => x.name === text(data.get(1)!))!
      const at = place(number(2))
      const has = (first: Uint8Array, last: Uint8Array, from: number): boolean => {
        const octets = registers.subarray(from, from + first.length)
        return Buffer.compare(octets, first) >= 0 && Buffer.compare(octets, last) <= 0
      }
      const found =
        'ranges' in set
          ? set.ranges.filter(({ start, end }) => has(start, end, at))
          : set.pairs.filter(([x, y]) => has(x, x, at) && has(y, y, at + x.length))
      if (found.length > 1) throw new Error(`${set.name}: elements overlap`)
      return found.length === 1 ? undefined : BREAK
    }
    case 'counter':
      return undefined
    case 'immediate': {
      // NFTA_IMMEDIATE_DATA, in it NFTA_DATA_VERDICT, and in that a code and perhaps a chain.
      const verdict = decodeAttributes(decodeAttributes(data.get(2)!).get(2)!)
      const code = new DataView(verdict.get(1)!.slice().buffer).getInt32(0)
      if (code !== NFT_JUMP) return code === 1 ? 'accept' : 'drop'
      const chain = table.chains.find((c) => c.name === text(verdict.get(2)!))!
      return verdictIn(table, chain, packet) ?? BREAK
    }
    case 'exthdr':
      return BREAK
    default:
      throw new Error(`no expression ${name}`)
  }
}

const known = new WeakMap<NftExpression, { name: string; data: ReadonlyMap<number, Uint8Array> }>()

/** Name and attributes, from the octets that the kernel is given. */
function decoded(e: NftExpression): { name: string; data: ReadonlyMap<number, Uint8Array> } {
  let found = known.get(e)
  if (!found) {
    const both = decodeAttributes(encodeAttributes(e))
    found = { name: text(both.get(1)!), data: decodeAttributes(both.get(2)!) }
    known.set(e, found)
  }
  return found
}

const text = (octets: Uint8Array): string => Buffer.from(octets).toString().replace('\0', '')

/** Registers 1 to 4 have 16 octets, 8 to 23 four, in the same memory. */
const place = (register: number): number => (register >= 8 ? (register - 8) * 4 : (register - 1) * 16)

function metaOf(p: FilteredPacket, key: number): Uint8Array {
  const device = (name: string): Uint8Array => Buffer.from(name.padEnd(16, '\0'))
  switch (key) {
    case 3: {
      const mark = Buffer.alloc(4)
      mark.writeUInt32LE(p.mark)
      return mark
    }
    case 6:
      return device(p.inputDevice)
    case 7:
      return device(p.outputDevice)
    case 15:
      return Uint8Array.of(p.network[0]! >> 4 === 4 ? 2 : 10)
    case 16:
      return Uint8Array.of(p.protocol)
    default:
      throw new Error(`no meta key ${key}`)
  }
}
