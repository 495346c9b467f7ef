import { aesCbcEncrypt } from '../../../src/crypto/aes-cbc.js'
import { PRF } from '../../../src/crypto/algorithms.js'
import { WireError } from '../../../src/errors.js'
import { openInformational } from '../../../src/ike/v1/informational.js'
import { hash1, phase2Iv } from '../../../src/ike/v1/keymat.js'
import { PayloadSet, RULES } from '../../../src/ike/v1/message-rules.js'
import { lastBlock, open, verifyHash } from '../../../src/ike/v1/protection.js'
import {
  EXCHANGE,
  emitIkeHeader,
  IKE_HEADER_LEN,
  parseIkeHeader,
  VERSION_1,
} from '../../../src/wire/ike/header.js'
import { recordedV1 } from '../corpus.js'
import { authenticated } from '../mutate/hash-v1.js'
import { chainTree, firstType } from '../mutate/isakmp.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree } from '../mutate/tree.js'
import type { Target } from '../target.js'

// Encrypted IKEv1 messages as a peer could make them that holds the key: the chain is changed before it is encrypted, and
// the hash is right as often as not.

const KEYS = {
  prfId: PRF.HMAC_SHA2_256,
  d: new Uint8Array(32).fill(1),
  a: new Uint8Array(32).fill(2),
  key: new Uint8Array(16).fill(3),
}
const CI = new Uint8Array(8).fill(4)
const CR = new Uint8Array(8).fill(5)
const MESSAGE_ID = 0x0102_0304
const PROTECTION = { keys: KEYS, ci: CI, cr: CR, lastBlock: new Uint8Array(16).fill(6) }
const IV = phase2Iv(KEYS.prfId, PROTECTION.lastBlock, MESSAGE_ID, 16)

export const IKE_V1_PROTECTED: Target = {
  name: 'ikev1-protected',
  about: 'encrypted messages of IKEv1, changed before encryption: decryption, hashes, rules',
  prepare() {
    const trees = recordedV1().chains.map((c) => chainTree(c.octets, c.first))
    return {
      run(random, trace) {
        const tree = mutateTree(random, random.pick(trees), { others: trees, lies: random.oneIn(2) })
        const chain = authenticated(emitNode(tree), firstType(tree), (rest) =>
          hash1(KEYS.prfId, KEYS.a, MESSAGE_ID, rest),
        )
        const padded = new Uint8Array(Math.ceil(chain.length / 16) * 16 + 16 * random.below(2))
        padded.set(chain)
        let message = new Uint8Array(IKE_HEADER_LEN + padded.length)
        message.set(aesCbcEncrypt(KEYS.key, IV, padded), IKE_HEADER_LEN)
        emitIkeHeader(
          {
            initiatorSpi: CI,
            responderSpi: CR,
            nextPayload: firstType(tree),
            version: VERSION_1,
            exchange: EXCHANGE.INFORMATIONAL_V1,
            flags: 1,
            messageId: MESSAGE_ID,
            length: message.length,
          },
          message,
          0,
        )
        if (random.oneIn(8)) message = mutateOctets(random, message)
        trace.input(message)
        const header = trace.parse('header', WireError, () => parseIkeHeader(message))
        if (header === undefined) return
        const opened = trace.parse('open', WireError, () => open(header, message, KEYS.key, IV))
        if (opened !== undefined) {
          trace.outcome(
            verifyHash(opened, (rest) => hash1(KEYS.prfId, KEYS.a, MESSAGE_ID, rest)) ? 'hash' : 'no hash',
          )
          for (const rules of Object.values(RULES))
            trace.parse('rules', WireError, () => new PayloadSet(opened.payloads, rules))
          trace.octets(lastBlock(message))
        }
        trace.parse('informational', WireError, () => {
          const information = openInformational(PROTECTION, header, message)
          trace.outcome(information === undefined ? 'not authentic' : 'informed')
        })
      },
    }
  },
}
