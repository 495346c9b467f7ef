import { Reader } from '../../../bytes/reader.js'
import { Writer } from '../../../bytes/writer.js'
import { WireError } from '../../../errors.js'
import { type Attribute, emitAttributes, parseAttributes } from './attributes.js'
import { PAYLOAD } from './numbers.js'

// Security Association payload with its Proposal and Transform payloads, RFC 2408 sections 3.4 to 3.6.
//
//  SA:        | DOI (4) | situation (4) | proposals ... |
//  proposal:  | next 0/2 | 0 | length (2) | number | protocol | SPI size | transforms | SPI | transforms ... |
//  transform: | next 0/3 | 0 | length (2) | number | id | 0 (2) | attributes ... |

export const PROPOSALS_MAX = 32
/** Of all proposals together. */
export const TRANSFORMS_MAX = 128
/** Longest SPI that RFC 2408 section 3.5 speaks of. */
const SPI_MAX = 16

export interface Transform {
  readonly number: number
  readonly id: number
  readonly attributes: readonly Attribute[]
}

export interface Proposal {
  readonly number: number
  readonly protocol: number
  readonly spi: Uint8Array
  readonly transforms: readonly Transform[]
}

export interface SaPayload {
  readonly doi: number
  readonly situation: number
  readonly proposals: readonly Proposal[]
}

/**
 * @param body payload without its generic header; the result aliases it
 * @throws WireError on wrong lengths, a wrong chain or count, no proposal, a proposal without transform
 */
export function parseSa(body: Uint8Array): SaPayload {
  const r = new Reader(body)
  const doi = r.u32('SA.doi')
  const situation = r.u32('SA.situation')
  const proposals: Proposal[] = []
  let transforms = 0
  for (let more = true; more; ) {
    if (proposals.length === PROPOSALS_MAX)
      throw new WireError('SA.proposals', r.at, `more than ${PROPOSALS_MAX}`)
    const item = substructure(r, PAYLOAD.PROPOSAL, 'proposal')
    const proposal = parseProposal(item.body)
    transforms += proposal.transforms.length
    if (transforms > TRANSFORMS_MAX) throw new WireError('SA.transforms', r.at, `more than ${TRANSFORMS_MAX}`)
    proposals.push(proposal)
    more = item.more
  }
  r.end('SA')
  return { doi, situation, proposals }
}

function parseProposal(body: Uint8Array): Proposal {
  const r = new Reader(body)
  const number = r.u8('proposal.number')
  const protocol = r.u8('proposal.protocol')
  const spiSize = r.u8('proposal.spiSize')
  const count = r.u8('proposal.transforms')
  if (spiSize > SPI_MAX) throw new WireError('proposal.spiSize', 2, `${spiSize} is above ${SPI_MAX}`)
  if (count === 0) throw new WireError('proposal.transforms', 3, 'a proposal without transform')
  const spi = r.take(spiSize, 'proposal.spi')
  const transforms: Transform[] = []
  for (let i = 0; i < count; i++) {
    const item = substructure(r, PAYLOAD.TRANSFORM, 'transform')
    if (item.more !== i < count - 1)
      throw new WireError('transform.next', r.at, `the chain has not the ${count} transforms announced`)
    const t = new Reader(item.body)
    const transformNumber = t.u8('transform.number')
    const id = t.u8('transform.id')
    t.take(2, 'transform.reserved')
    transforms.push({ number: transformNumber, id, attributes: parseAttributes(t) })
  }
  r.end('proposal')
  return { number, protocol, spi, transforms }
}

/** One proposal or transform: its octets behind the generic header, and whether another one follows. */
function substructure(r: Reader, type: number, name: string): { body: Uint8Array; more: boolean } {
  const next = r.u8(`${name}.next`)
  if (next !== 0 && next !== type)
    throw new WireError(`${name}.next`, r.at - 1, `${next} is neither 0 nor ${type}`)
  r.take(1, `${name}.reserved`)
  const length = r.u16(`${name}.length`)
  if (length < 4) throw new WireError(`${name}.length`, r.at - 2, `${length} is below 4`)
  return { body: r.take(length - 4, name), more: next === type }
}

/** The payload's body. */
export function emitSa(sa: SaPayload): Uint8Array {
  const w = new Writer()
  w.u32(sa.doi).u32(sa.situation)
  for (const [i, p] of sa.proposals.entries()) {
    const at = w.length
    w.u8(i < sa.proposals.length - 1 ? PAYLOAD.PROPOSAL : 0)
      .u8(0)
      .u16(0)
    w.u8(p.number).u8(p.protocol).u8(p.spi.length).u8(p.transforms.length).bytes(p.spi)
    for (const [j, t] of p.transforms.entries()) {
      const start = w.length
      w.u8(j < p.transforms.length - 1 ? PAYLOAD.TRANSFORM : 0)
        .u8(0)
        .u16(0)
      w.u8(t.number).u8(t.id).u16(0)
      emitAttributes(w, t.attributes)
      w.patchU16(start + 2, w.length - start)
    }
    w.patchU16(at + 2, w.length - at)
  }
  return w.finish()
}
