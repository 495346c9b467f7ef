import { describe, expect, test } from 'vitest'
import { sealedLength } from '../../../src/ipsec/outbound.js'
import { innerMtu } from '../../../src/ipsec/overhead.js'
import { DST, ip, pair, put, SRC, SUITES, saSpec, udpPacket } from './fixtures.js'

// The MTU given to the TUN device against what the pipeline makes: the largest packet fits the path, one octet more does not.

const V6 = { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }

for (const suite of Object.keys(SUITES))
  for (const mode of ['tunnel', 'transport'] as const)
    for (const v6 of [false, true])
      for (const udp of suite.startsWith('ah') ? [false] : [false, true])
        describe(`${suite} ${mode} over IPv${v6 ? 6 : 4}${udp ? ' in UDP' : ''}`, () => {
          test.each([1280, 1500, 1501, 1502, 1503, 9000])('MTU %i', (mtu) => {
            const spec = saSpec(suite, {
              mode,
              ...(v6 && V6),
              ...(udp && { udp: { localPort: 4500, remotePort: 4500 } }),
            })
            const p = pair(spec)
            const largest = innerMtu(mtu, {
              protocol: spec.protocol,
              mode,
              encryption: spec.encryption?.id ?? 0,
              integrity: spec.integrity?.id ?? 0,
              udp,
              addressLength: v6 ? 16 : 4,
            })
            const sealed = (length: number): number => {
              const [a, b] =
                mode === 'tunnel'
                  ? ['10.1.0.1', '10.2.0.1']
                  : v6
                    ? ['2001:db8::1', '2001:db8::2']
                    : ['192.0.2.1', '192.0.2.2']
              const packet = udpPacket(a, b, length - (mode === 'transport' && v6 ? 48 : 28))
              put(p.slab, SRC, packet)
              const n = p.outbound.seal(p.out, SRC, packet.length, DST)
              expect(n).toBeLessThanOrEqual(sealedLength(p.out, packet.length))
              return n
            }
            expect(sealed(largest)).toBeLessThanOrEqual(mtu)
            expect(sealed(largest + 1)).toBeGreaterThan(mtu)
          })
        })
