import { hex } from '../../src/bytes/octets.js'
import { KE } from '../../src/crypto/algorithms.js'
import { generateKeyShare } from '../../src/crypto/key-exchange.js'
import { parseIkeProposal } from '../../src/ike/proposals.js'
import { headOf } from '../../src/ike/v2/keying.js'
import { ikeRequirement, offer } from '../../src/ike/v2/offer.js'
import { EXCHANGE } from '../../src/wire/ike/header.js'
import { emitMessage } from '../../src/wire/ike/payloads.js'
import { emitKe } from '../../src/wire/ike/v2/bodies.js'
import { PAYLOAD, PROTOCOL } from '../../src/wire/ike/v2/numbers.js'
import { emitSa } from '../../src/wire/ike/v2/sa.js'
import type { Lab } from '../lab/lab.js'
import { outerOf, type Tunnel } from './tunnel.js'

/** An IKE_SA_INIT from host a that nobody follows up: the other end has an exchange half open. */
export function beginHalfOpen(lab: Lab, t: Tunnel): void {
  const [, remote] = outerOf(t)
  const send = `require('dgram').createSocket('udp4').send(Buffer.from('${hex(firstMessage())}', 'hex'), 500, '${remote}', process.exit)`
  lab.exec('a', process.execPath, '-e', send)
}

function firstMessage(): Uint8Array {
  const share = generateKeyShare(KE.ECP256)
  const requirement = ikeRequirement(parseIkeProposal('aes128gcm16-prfsha256-ecp256'))
  const spi = new Uint8Array(8).fill(7)
  return emitMessage(headOf('initiator', spi, new Uint8Array(8), EXCHANGE.IKE_SA_INIT, 0, false), [
    { type: PAYLOAD.SA, body: emitSa(offer(PROTOCOL.IKE, new Uint8Array(0), [requirement])) },
    { type: PAYLOAD.KE, body: emitKe({ method: KE.ECP256, data: share.publicValue }) },
    { type: PAYLOAD.NONCE, body: new Uint8Array(32).fill(9) },
  ])
}
