import { describe, expect, test } from 'vitest'
import { firstDifference } from '../../../src/ike/differences.js'
import {
  formatChildProposal,
  formatIkeProposal,
  parseChildProposal,
  parseIkeProposal,
} from '../../../src/ike/proposals.js'
import {
  choosePhase1,
  offerPhase1,
  ownPhase1Fields,
  phase1Fields,
  phase1Obstacle,
} from '../../../src/ike/v1/phase1-offer.js'
import { choosePhase2, offerPhase2, phase2Obstacle, variantsOf } from '../../../src/ike/v1/phase2-offer.js'
import { childConfig } from '../../exchange/ike-ends.js'

describe('IKE proposals', () => {
  test.each([
    'aes128-sha1-modp2048',
    'aes192-sha384-ecp384',
    'aes256-sha512-modp4096',
    'aes256-sha256-prfsha512-x25519',
    'aes256gcm16-prfsha384-ecp521',
    'chacha20poly1305-prfsha256-modp3072',
  ])('%s', (text) => expect(formatIkeProposal(parseIkeProposal(text))).toBe(text))

  test('ids', () => {
    expect(parseIkeProposal('AES128-SHA2_256-curve25519')).toEqual({
      encryption: { id: 12, keyBits: 128 },
      integrity: 12,
      prf: 5,
      group: 31,
    })
  })

  test.each([
    ['aes129-sha256-modp2048', 'no algorithm is called "aes129"; there are aes128'],
    ['aes128-sha256', 'names no key exchange; expected one of modp2048'],
    ['aes128-modp2048', 'names no integrity algorithm; expected one of sha1'],
    ['sha256-modp2048', 'names no encryption'],
    ['aes128gcm16-modp2048', 'names no PRF'],
    ['aes128gcm16-sha256-modp2048', 'has no integrity algorithm beside it'],
    ['aes128-aes256-sha256-modp2048', '"aes256" is the second encryption algorithm'],
    ['null-sha256-modp2048', 'always encrypted'],
    ['aes128-sha256-modp2048-esn', '"esn" has no place in an IKE proposal'],
    ['', 'no algorithm is called ""'],
  ])('%s: refused', (text, why) => expect(() => parseIkeProposal(text)).toThrow(why))
})

describe('child proposals', () => {
  test.each([
    ['esp', 'aes128gcm16'],
    ['esp', 'aes256-sha512-ecp256-noesn'],
    ['esp', 'null-sha256-esn'],
    ['esp', 'chacha20poly1305-x25519'],
    ['ah', 'sha384-modp2048-noesn'],
  ] as const)('%s %s', (protocol, text) =>
    expect(formatChildProposal(parseChildProposal(protocol, text))).toBe(text),
  )

  test('extended sequence numbers are preferred unless told', () => {
    expect(parseChildProposal('esp', 'aes128gcm16')).toMatchObject({ esn: true, esnOptional: true })
    expect(parseChildProposal('esp', 'aes128gcm16-esn-noesn')).toMatchObject({ esn: true, esnOptional: true })
    expect(parseChildProposal('esp', 'aes128gcm16-esn').esnOptional).toBeUndefined()
    expect(parseChildProposal('esp', 'aes128gcm16-noesn')).toMatchObject({ esn: false })
  })

  test.each([
    ['esp', 'aes128', 'forbids ESP without'],
    ['esp', 'null', 'forbids ESP without'],
    ['esp', 'aes128gcm16-sha256', 'has no integrity algorithm beside it'],
    ['esp', 'sha256', 'names no encryption'],
    ['ah', 'aes128-sha256', '"aes128" has no place in an AH proposal'],
    ['ah', 'modp2048', 'forbids AH without'],
  ] as const)('%s %s: refused', (protocol, text, why) =>
    expect(() => parseChildProposal(protocol, text)).toThrow(why),
  )
})

describe('what IKEv1 can say', () => {
  test('authenticated ciphers and a PRF of its own are for IKEv2', () => {
    expect(phase1Obstacle(parseIkeProposal('aes128gcm16-prfsha256-x25519'))).toContain('AES-CBC alone')
    expect(phase1Obstacle(parseIkeProposal('aes128-sha256-prfsha512-x25519'))).toContain('one hash')
    expect(phase1Obstacle(parseIkeProposal('aes128-sha512-x25519'))).toBeUndefined()
    expect(offerPhase1([parseIkeProposal('aes128gcm16-prfsha256-x25519')], 60)).toBeUndefined()
    expect(phase2Obstacle(parseChildProposal('esp', 'chacha20poly1305'))).toContain(
      'IKEv1 has no number for chacha20poly1305',
    )
  })

  test('of what both have, our order decides', () => {
    const ours = ['aes256-sha256-ecp256', 'aes128-sha256-x25519'].map(parseIkeProposal)
    const offer = offerPhase1(['aes128-sha256-x25519', 'aes256-sha256-ecp256'].map(parseIkeProposal), 86_400)!
    const choice = choosePhase1(ours, offer)!
    expect(choice.proposal).toEqual(ours[0])
    expect(choice.lifeSeconds).toBe(86_400)
    expect(choice.answer.proposals[0]!.transforms).toEqual([offer.proposals[0]!.transforms[1]])
  })

  test('the closest pair’s first difference', () => {
    const offer = offerPhase1(['aes256-sha512-ecp384', 'aes128-sha256-ecp256'].map(parseIkeProposal), 60)!
    const ours = ownPhase1Fields([parseIkeProposal('aes128-sha256-modp2048')])
    expect(firstDifference(ours, phase1Fields(offer))).toBe('group: ours modp2048, theirs ecp256')
    expect(firstDifference([], [])).toBe('we have nothing to propose')
    expect(firstDifference(ours, [])).toBe('the peer proposes nothing')
  })

  test('bundles and reserved SPIs are not chosen', () => {
    const variants = variantsOf(childConfig(), [false])
    const life = { seconds: 60, kilobytes: undefined }
    const sa = offerPhase2(variants, 0x1234, life)
    expect(choosePhase2(variants, sa)?.peerSpi).toBe(0x1234)
    expect(choosePhase2(variants, { ...sa, proposals: [...sa.proposals, ...sa.proposals] })).toBeUndefined()
    expect(choosePhase2(variants, offerPhase2(variants, 255, life))).toBeUndefined()
  })
})
