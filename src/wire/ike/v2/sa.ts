import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'
import { type Attribute, emitAttributes, parseAttributes } from '../v1/attributes.js'

// Security Association payload with its proposals and transforms, RFC 7296 section 3.3.
//
//  proposal:  | last 0/2 | 0 | length (2) | number | protocol | SPI size | transforms | SPI | transforms ... |
//  transform: | last 0/3 | 0 | length (2) | type | 0 | id (2) | attributes ... |
//
// Attributes have the form of IKEv1's (RFC 7296 section 3.3.5).

/** They are numbered by an octet, from 1 (RFC 7296 section 3.3.1). */
export const PROPOSALS_MAX = 255
/** Of all proposals together: more than the largest message has room for. */
export const TRANSFORMS_MAX = 2_048
/** IKE SPIs have 8 octets, those of ESP and AH 4 (RFC 7296 section 3.3.1). */
const SPI_MAX = 8

export interface Transform {
  readonly type: number
  readonly id: number
  readonly attributes: readonly Attribute[]
}

export interface Proposal {
  readonly number: number
  readonly protocol: number
  readonly spi: Uint8Array
  readonly transforms: readonly Transform[]
}

/**
 * @param body payload without its generic header; the result aliases it
 * @throws WireError on wrong lengths, a wrong chain or count, or no proposal
 */
export function parseSa(body: Uint8Array): Proposal[] {
  const r = new Reader(body)
  const proposals: Proposal[] = []
  let transforms = 0
  for (let more = true; more; ) {
    if (proposals.length === PROPOSALS_MAX)
      throw new WireError('SA.proposals', r.at, `more than ${PROPOSALS_MAX}`)
    const item = substructure(r, 2, 'proposal')
    const proposal = parseProposal(item.body)
    transforms += proposal.transforms.length
    if (transforms > TRANSFORMS_MAX) throw new WireError('SA.transforms', r.at, `more than ${TRANSFORMS_MAX}`)
    proposals.push(proposal)
    more = item.more
  }
  r.end('SA')
  return proposals
}

function parseProposal(body: Uint8Array): Proposal {
  const r = new Reader(body)
  const number = r.u8('proposal.number')
  const protocol = r.u8('proposal.protocol')
  const spiSize = r.u8('proposal.spiSize')
  const count = r.u8('proposal.transforms')
  if (spiSize > SPI_MAX) throw new WireError('proposal.spiSize', 2, `${spiSize} is above ${SPI_MAX}`)
  const spi = r.take(spiSize, 'proposal.spi')
  const transforms: Transform[] = []
  for (let i = 0; i < count; i++) {
    const item = substructure(r, 3, 'transform')
    if (item.more !== i < count - 1)
      throw new WireError('transform.last', r.at, `the chain has not the ${count} transforms announced`)
    const t = new Reader(item.body)
    const type = t.u8('transform.type')
    t.take(1, 'transform.reserved')
    const id = t.u16('transform.id')
    transforms.push({ type, id, attributes: parseAttributes(t) })
  }
  r.end('proposal')
  return { number, protocol, spi, transforms }
}

/** One proposal or transform: its octets behind the generic header, and whether another one follows. */
function substructure(r: Reader, type: number, name: string): { body: Uint8Array; more: boolean } {
  const last = r.u8(`${name}.last`)
  if (last !== 0 && last !== type)
    throw new WireError(`${name}.last`, r.at - 1, `${last} is neither 0 nor ${type}`)
  r.take(1, `${name}.reserved`)
  const length = r.u16(`${name}.length`)
  if (length < 4) throw new WireError(`${name}.length`, r.at - 2, `${length} is below 4`)
  return { body: r.take(length - 4, name), more: last === type }
}

/** The payload's body. */
export function emitSa(proposals: readonly Proposal[]): Uint8Array {
  const w = new Writer()
  for (const [i, p] of proposals.entries()) {
    const at = w.length
    w.u8(i < proposals.length - 1 ? 2 : 0)
      .u8(0)
      .u16(0)
    w.u8(p.number).u8(p.protocol).u8(p.spi.length).u8(p.transforms.length).bytes(p.spi)
    for (const [j, t] of p.transforms.entries()) {
      const start = w.length
      w.u8(j < p.transforms.length - 1 ? 3 : 0)
        .u8(0)
        .u16(0)
      w.u8(t.type).u8(0).u16(t.id)
      emitAttributes(w, t.attributes)
      w.patchU16(start + 2, w.length - start)
    }
    w.patchU16(at + 2, w.length - at)
  }
  return w.finish()
}
