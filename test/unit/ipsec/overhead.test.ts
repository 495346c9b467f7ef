import { expect, test } from 'vitest'
import { ENCR, INTEG } from '../../../src/crypto/algorithms.js'
import { type EncapsulationShape, innerMtu } from '../../../src/ipsec/overhead.js'

const gcm: EncapsulationShape = {
  protocol: 'esp',
  mode: 'tunnel',
  encryption: ENCR.AES_GCM_16,
  integrity: 0,
  udp: true,
  addressLength: 4,
}

// Counted by hand: outer headers, ESP header and IV, padding to the block, trailer of two octets, ICV.
test.each<[string, Partial<EncapsulationShape>, number, number]>([
  ['GCM in UDP over IPv4', {}, 1500, 1438],
  ['GCM raw over IPv4', { udp: false }, 1500, 1446],
  ['GCM in UDP over IPv6', { addressLength: 16 }, 1500, 1418],
  [
    'CBC and SHA2-256 raw',
    { udp: false, encryption: ENCR.AES_CBC, integrity: INTEG.HMAC_SHA2_256_128 },
    1500,
    1438,
  ],
  ['GCM transport keeps the IP header', { udp: false, mode: 'transport' }, 1500, 1466],
  ['AH tunnel, SHA2-256', { protocol: 'ah', integrity: INTEG.HMAC_SHA2_256_128, udp: false }, 1500, 1452],
  [
    'AH transport',
    { protocol: 'ah', mode: 'transport', integrity: INTEG.HMAC_SHA2_256_128, udp: false },
    1500,
    1472,
  ],
  [
    'AH over IPv6 is padded to eight octets',
    { protocol: 'ah', integrity: INTEG.HMAC_SHA2_256_128, udp: false, addressLength: 16 },
    1500,
    1428,
  ],
  ['jumbo frames', {}, 9000, 8938],
])('%s', (_, change, mtu, inner) => {
  expect(innerMtu(mtu, { ...gcm, ...change })).toBe(inner)
})
