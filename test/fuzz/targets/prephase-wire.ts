import { hex } from '../../../src/bytes/octets.js'
import { WireError } from '../../../src/errors.js'
import {
  emitPrephase,
  NOTIFY_CONNECTED,
  parsePrephase,
  VENDOR_ID,
} from '../../../src/ike/prephase/messages.js'
import { parseIkeHeader } from '../../../src/wire/ike/header.js'
import { prephaseMessages } from '../corpus.js'
import { messageTree } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

export const PREPHASE_WIRE: Target = {
  name: 'prephase-message',
  about: 'messages of the pre-phase: there is one encoding of each, and nothing else parses',
  prepare() {
    const corpus = prephaseMessages()
    const trees = corpus.map(messageTree)
    return {
      run(random, trace) {
        const i = random.below(corpus.length)
        const input = random.oneIn(2)
          ? mutateOctets(random, corpus[i]!, corpus)
          : emitNode(mutateTree(random, trees[i]!, { others: trees, lies: random.oneIn(2) }))
        if (input.length >= 28 && random.oneIn(2)) new DataView(input.buffer).setUint32(24, input.length)
        trace.input(input)
        const header = trace.parse('header', WireError, () => parseIkeHeader(input))
        if (header === undefined) return
        const m = trace.parse('prephase', WireError, () => parsePrephase(header, input))
        if (m === undefined) return
        trace.outcome(`step ${m.step}`)
        const scheme = m.step === 3 ? 'hardened' : m.scheme
        const bodies =
          m.step === 1
            ? [VENDOR_ID[scheme], m.id, m.nonce, ...(scheme === 'hardened' ? [m.hash] : [])]
            : m.step === 2
              ? [VENDOR_ID[scheme], m.id, ...(scheme === 'hardened' ? [m.nonce, m.hash] : [m.hash, m.nonce])]
              : [scheme === 'hardened' ? m.hash : NOTIFY_CONNECTED]
        const again = emitPrephase(scheme, m.step, header.initiatorSpi, header.responderSpi, bodies)
        must(hex(again) === hex(input), 'two encodings of one message')
      },
    }
  },
}
