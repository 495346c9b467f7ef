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
import { attributeNumber } from '../../../src/wire/ike/v1/attributes.js'
import { childConfig } from '../../exchange/ike-ends.js'

describe('IKE proposals', () => {
  test.each([
    'aes128-sha1-modp2048',
    'aes192-sha384-ecp384',
    'aes256-sha512-modp4096',
    'aes256-sha256-prfsha512-x25519',
    'aes256gcm16-prfsha384-ecp521',
    'chacha20poly1305-prfsha256-modp3072',
    'aes128ccm8-prfsha256-x25519',
    'aes128-aesxcbc-prfsha256-x25519',
    'aes128-aesxcbc-modp2048',
    'aes128gcm16-prfaescmac-x25519',
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
    ['aes128gmac-prfsha256-modp2048', 'always encrypted'],
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
    ['esp', 'aes128ccm8'],
    ['esp', 'aes192ccm12'],
    ['esp', 'aes256ccm16-ecp256'],
    ['esp', 'aes128ctr-sha256'],
    ['esp', 'aes256ctr-aesxcbc'],
    ['esp', 'aes192gmac'],
    ['esp', 'aes128-aescmac'],
    ['ah', 'aes128gmac'],
    ['ah', 'aes256gmac-x25519-esn'],
    ['ah', 'aesxcbc'],
    ['ah', 'aescmac-noesn'],
  ] as const)('%s %s', (protocol, text) =>
    expect(formatChildProposal(parseChildProposal(protocol, text))).toBe(text),
  )

  test('GMAC is a cipher that encrypts nothing in ESP, and an integrity algorithm in AH', () => {
    expect(parseChildProposal('esp', 'aes256gmac')).toMatchObject({
      encryption: { id: 21, keyBits: 256 },
      integrity: 0,
    })
    const ah = parseChildProposal('ah', 'aes256gmac')
    expect(ah).toMatchObject({ integrity: 11 })
    expect(ah.encryption).toBeUndefined()
  })

  test('an ICV may be said in bits', () => {
    expect(parseChildProposal('esp', 'aes128ccm64')).toEqual(parseChildProposal('esp', 'aes128ccm8'))
    expect(parseChildProposal('esp', 'aes256ccm128')).toEqual(parseChildProposal('esp', 'aes256ccm16'))
  })

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
    ['ah', 'modp2048', 'expected one of aes128gmac'],
    ['esp', 'aes128ctr', 'forbids ESP without'],
    ['esp', 'aes128ccm8-sha256', 'has no integrity algorithm beside it'],
    ['esp', 'aes128gmac-sha256', 'has no integrity algorithm beside it'],
    ['esp', 'aes128-aes128gmac', '"aes128gmac" is the second encryption algorithm'],
    ['ah', 'sha256-aes128gmac', '"aes128gmac" is the second integrity algorithm'],
    ['ah', 'aes128ccm8', '"aes128ccm8" has no place in an AH proposal'],
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

  test.each([
    ['esp', 'aes128ctr-sha256', 13, 128, 5],
    ['esp', 'aes256ccm8', 14, 256, undefined],
    ['esp', 'aes128ccm12', 15, 128, undefined],
    ['esp', 'aes192ccm16', 16, 192, undefined],
    ['esp', 'aes128gmac', 23, 128, undefined],
    ['esp', 'aes128-aesxcbc', 12, 128, 9],
    ['ah', 'aesxcbc', 9, undefined, 9],
    ['ah', 'aes128gmac', 11, undefined, 11],
    ['ah', 'aes192gmac', 12, undefined, 12],
    ['ah', 'aes256gmac', 13, undefined, 13],
  ] as const)('numbers of %s %s', (protocol, text, transform, keyBits, auth) => {
    const proposal = parseChildProposal(protocol, `${text}-noesn`)
    expect(phase2Obstacle(proposal)).toBeUndefined()
    const variants = variantsOf({ ...childConfig(), protocol, proposals: [proposal] }, [false])
    const sa = offerPhase2(variants, 0x1234, { seconds: 60, kilobytes: undefined })
    const offered = sa.proposals[0]!.transforms[0]!
    expect(offered.id).toBe(transform)
    const value = (type: number): number | undefined => {
      const found = offered.attributes.find((a) => a.type === type)
      return found && attributeNumber(found)
    }
    expect(value(6)).toBe(keyBits)
    expect(value(5)).toBe(auth)
    expect(choosePhase2(variants, sa)?.variant).toEqual(variants[0])
  })

  test('AES-CMAC has no number', () => {
    expect(phase2Obstacle(parseChildProposal('ah', 'aescmac'))).toContain('no number for AH with aescmac')
    expect(phase2Obstacle(parseChildProposal('esp', 'aes128-aescmac'))).toContain('no number for aescmac')
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

  test('extended sequence numbers are offered to those who say that they understand them, or when they are asked for', () => {
    const numbers = (text: string, extended: boolean): boolean[] => {
      const proposals = [parseChildProposal('esp', text)]
      return variantsOf({ ...childConfig(), proposals }, [false], extended).map((v) => v.proposal.esn)
    }
    expect(numbers('aes128gcm16', true)).toEqual([true, false])
    expect(numbers('aes128gcm16', false)).toEqual([false])
    expect(numbers('aes128gcm16-esn', false)).toEqual([true])
    expect(numbers('aes128gcm16-noesn', true)).toEqual([false])
  })
})
