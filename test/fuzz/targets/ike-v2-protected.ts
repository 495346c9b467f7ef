import { equalOctets } from '../../../src/bytes/octets.js'
import { ProtocolError, WireError } from '../../../src/errors.js'
import { openMessage } from '../../../src/ike/v2/fragmentation.js'
import { PayloadSet, RULES } from '../../../src/ike/v2/payload-set.js'
import { parseIkeHeader } from '../../../src/wire/ike/header.js'
import { parseChain, parseInner } from '../../../src/wire/ike/v2/chain.js'
import { pad, unpad } from '../../../src/wire/ike/v2/encrypted.js'
import { parseDelete } from '../../../src/wire/ike/v2/notify.js'
import { PAYLOAD } from '../../../src/wire/ike/v2/numbers.js'
import { chainTree, firstType } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree, type Node } from '../mutate/tree.js'
import type { Random } from '../random.js'
import { bothKinds, sealRaw } from '../sealing-v2.js'
import type { Target } from '../target.js'
import { must, type Trace } from '../trace.js'
import { V2_CHAINS } from './ike-v2-wire.js'

export const IKE_V2_PROTECTED: Target = {
  name: 'ikev2-protected',
  about: 'encrypted messages of IKEv2, changed before encryption and after it: ICV, padding, rules',
  prepare() {
    const ends = bothKinds()
    const trees = V2_CHAINS.map((c) => chainTree(c.octets, c.first))
    return {
      run(random, trace) {
        const { initiator, responder, block } = random.pick(ends)
        const tree = mutateTree(random, random.pick(trees), { others: trees, lies: random.oneIn(2) })
        const plaintext = padded(random, emitNode(tree), block)
        const good = sealRaw(initiator, { messageId: 1, first: firstOf(random, tree), plaintext })
        const message = random.oneIn(4) ? mutateOctets(random, good) : good
        const intact = equalOctets(message, good)
        trace.input(message)
        const header = trace.parse('header', WireError, () => parseIkeHeader(message))
        if (header === undefined) return
        const { opener } = responder
        const opened = trace.parse('open', WireError, () => {
          const { encrypted } = parseChain(header, message)
          return encrypted && opener.openWhole(message, encrypted)
        })
        must(opened === undefined || intact, 'a message that was changed is taken for authentic')
        if (opened !== undefined) {
          must(equalOctets(opened, unpad(plaintext)), 'opened to something else than was sealed')
          inside(trace, opened, message[28]!)
        }
        trace.parse('message', WireError, () => openMessage(opener, header, message, undefined))
      },
    }
  },
}

const firstOf = (random: Random, tree: Node): number =>
  random.oneIn(8) ? random.edge(8) : firstType(tree) & 0xff

/** Right padding, or octets that end in any pad length; whole blocks. */
function padded(random: Random, chain: Uint8Array, block: number): Uint8Array {
  if (!random.oneIn(3)) return pad(chain, block)
  const out = new Uint8Array(Math.max(1, Math.ceil((chain.length + random.below(40)) / block)) * block)
  out.set(chain.subarray(0, out.length))
  out[out.length - 1] = random.edge(8)
  return out
}

function inside(trace: Trace, plaintext: Uint8Array, first: number): void {
  const payloads = trace.parse('inner', WireError, () => parseInner(plaintext, first))
  if (payloads === undefined) return
  for (const rules of Object.values(RULES)) {
    try {
      const set = trace.parse('rules', WireError, () => new PayloadSet(payloads, rules))
      for (const body of set?.all(PAYLOAD.DELETE) ?? [])
        trace.parse('D', WireError, () => trace.value(parseDelete(body).spis.length))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      trace.outcome('critical')
    }
  }
}
