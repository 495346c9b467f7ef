import { describe, expect, test } from 'vitest'
import { keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { ip, mirrored, SUITES, saSpec, ts, udpPacket } from '../ipsec/fixtures.js'
import { fragments, play, replayOf, SealingHost } from './ends.js'

const INNER = udpPacket('10.1.0.1', '10.2.0.1', 100)
const TRANSPORT = udpPacket('192.0.2.1', '192.0.2.2', 100)
const hex = (b: Buffer): string => b.toString('hex')

describe('inbound', () => {
  test.each(Object.keys(SUITES))('%s: what was protected comes out, in both modes', (suite) => {
    for (const [mode, inner] of [
      ['tunnel', INNER],
      ['transport', TRANSPORT],
    ] as const) {
      const host = new SealingHost(saSpec(suite, { mode }))
      const replay = replayOf([keyedSaOf(host.spec)])
      expect(
        play(
          replay,
          [inner, inner].map((p) => host.seal(p)),
        ),
      ).toEqual([hex(inner), hex(inner)])
      expect(replay.seen()).toMatchObject([
        { mode, packets: 2, errors: 0, source: '192.0.2.1', destination: '192.0.2.2' },
      ])
    }
  })

  test.each(['aes128gcm16', 'ah-sha256'])('%s: a key file that tells no mode: the packets do', (suite) => {
    for (const [mode, inner] of [
      ['tunnel', INNER],
      ['transport', TRANSPORT],
    ] as const) {
      const host = new SealingHost(saSpec(suite, { mode }))
      const replay = replayOf([host.foreign])
      expect(
        play(
          replay,
          [inner, inner, inner].map((p) => host.seal(p)),
        ),
      ).toEqual([inner, inner, inner].map(hex))
      expect(replay.seen()).toMatchObject([{ mode, packets: 3, errors: 0 }])
    }
  })

  test('a key file that tells the mode is believed', () => {
    const host = new SealingHost(saSpec('aes128gcm16', { mode: 'transport' }))
    const replay = replayOf([{ ...host.foreign, mode: 'tunnel' }])
    expect(play(replay, [host.seal(TRANSPORT)])).toEqual(['BAD_NEXT_HEADER'])
  })

  test('every refused packet has its cause', () => {
    const host = new SealingHost(saSpec('aes128gcm16', { esn: false, remoteTs: [ts('10.2.0.0/24')] }))
    const sealed = Array.from({ length: 70 }, () => host.seal(INNER))
    const spoilt = Buffer.from(sealed[1]!)
    spoilt[60] = spoilt[60]! ^ 1
    const elsewhere = host.seal(udpPacket('10.1.0.1', '10.9.0.1', 10))
    const unknown = Buffer.from(sealed[1]!)
    unknown[20] = 9
    const away = Buffer.from(sealed[1]!)
    away[19] = 99
    const replay = replayOf([{ ...keyedSaOf(host.spec), replayWindow: 64 }])
    const packets = [
      sealed[0]!,
      sealed[0]!,
      spoilt,
      sealed[69]!,
      sealed[3]!,
      elsewhere,
      unknown,
      away,
      INNER,
      INNER.subarray(0, 30),
    ]
    expect(play(replay, packets)).toEqual([
      hex(INNER),
      'REPLAYED',
      'BAD_ICV',
      hex(INNER),
      'TOO_OLD',
      'SELECTOR_MISMATCH',
      'UNKNOWN_SPI',
      'WRONG_DESTINATION',
      'NOT_IPSEC',
      'MALFORMED_OUTER',
    ])
    expect(replay.seen()).toMatchObject([{ packets: 2, errors: 4 }])
  })

  test('no window, when asked', () => {
    const host = new SealingHost(saSpec('aes128gcm16', { esn: false }))
    const packet = host.seal(INNER)
    const replay = replayOf([keyedSaOf(host.spec)], { replayWindow: 0 })
    expect(play(replay, [packet, packet])).toEqual([hex(INNER), hex(INNER)])
  })

  test('extended numbers: a capture from the middle, over a wrap, out of order', () => {
    const host = new SealingHost(saSpec('aes128-sha256', { esn: true }), { high: 7, low: 0xffff_fffe })
    const [a, b, c, d] = [1, 2, 3, 4].map(() => host.seal(INNER)) as [Buffer, Buffer, Buffer, Buffer]
    const keyed = { ...keyedSaOf(host.spec), replayWindow: 64 }
    const right = replayOf([{ ...keyed, esnHigh: 7 }])
    expect(play(right, [b, a, d, c, c])).toEqual([...[b, a, d, c].map(() => hex(INNER)), 'REPLAYED'])
    expect(play(replayOf([{ ...keyed, esnHigh: 6 }]), [b])).toEqual(['BAD_ICV'])
    // The capture begins right behind the wrap.
    expect(play(replayOf([{ ...keyed, esnHigh: 8 }]), [c, d])).toEqual([hex(INNER), hex(INNER)])
  })

  test('addresses that the key file leaves open are the packet’s', () => {
    const host = new SealingHost(saSpec('aes128gcm16'))
    const replay = replayOf([{ ...host.foreign, source: undefined, destination: undefined }])
    expect(play(replay, [host.seal(INNER)])).toEqual([hex(INNER)])
    expect(replay.seen()).toMatchObject([{ source: '192.0.2.1', destination: '192.0.2.2' }])
  })

  test('two hosts may have chosen the same SPI', () => {
    const hosts = ['192.0.2.2', '192.0.2.3'].map((remote, i) => {
      const spec = saSpec('aes128gcm16', { remote: ip(remote) })
      return new SealingHost({ ...spec, encryption: { id: 20, key: new Uint8Array(20).fill(i) } })
    })
    const replay = replayOf(hosts.map((h) => keyedSaOf(h.spec)))
    const packets = [0, 1, 0, 1].map((i) => hosts[i]!.seal(INNER))
    expect(play(replay, packets)).toEqual(packets.map(() => hex(INNER)))
    expect(replay.seen().map((sa) => [sa.destination, sa.packets])).toEqual([
      ['192.0.2.2', 2],
      ['192.0.2.3', 2],
    ])
  })

  test('behind a NAT: another source and port than the key file has', () => {
    const spec = saSpec('aes128gcm16', { udp: { localPort: 4500, remotePort: 4500 } })
    const host = new SealingHost(spec)
    const packet = host.seal(INNER)
    packet[12] = 203
    packet.writeUInt16BE(61_000, 20)
    expect(play(replayOf([keyedSaOf(spec)]), [packet])).toEqual([hex(INNER)])
  })

  test('both directions of a pair, and IPv6', () => {
    const spec = saSpec('aes256gcm16', { local: ip('2001:db8::1'), remote: ip('2001:db8::2') })
    const back = { ...mirrored(spec), direction: 'outbound', spi: 0x2002 } as const
    const hosts = [new SealingHost(spec), new SealingHost(back)]
    const inner = udpPacket('fd00::1', 'fd00::2', 64)
    const packets = [0, 1, 0].map((i) => hosts[i]!.seal(inner))
    const replay = replayOf(hosts.map((h) => h.foreign))
    expect(play(replay, packets)).toEqual([hex(inner), hex(inner), hex(inner)])
    expect(replay.seen().map((sa) => sa.source)).toEqual(['2001:db8::1', '2001:db8::2'])
  })

  test('fragments are put together when they are for an SA’s end', () => {
    for (const change of [{}, { local: ip('2001:db8::1'), remote: ip('2001:db8::2') }]) {
      const host = new SealingHost(saSpec('aes128gcm16', change))
      const [a, b, c] = fragments(host.seal(udpPacket('10.1.0.1', '10.2.0.1', 1000)), 504) as [
        Buffer,
        Buffer,
        Buffer,
      ]
      const replay = replayOf([keyedSaOf(host.spec)])
      const whole = hex(udpPacket('10.1.0.1', '10.2.0.1', 1000))
      expect(play(replay, [c, a, host.seal(INNER), b])).toEqual([
        'OUTER_FRAGMENT',
        'OUTER_FRAGMENT',
        hex(INNER),
        whole,
      ])
      expect(replay.reassembled).toBe(1)
      // To somebody else they are but fragments.
      const other = replayOf([{ ...keyedSaOf(host.spec), destination: ip('192.0.2.9') }])
      expect(play(other, [a, b, c])).toEqual(['OUTER_FRAGMENT', 'OUTER_FRAGMENT', 'OUTER_FRAGMENT'])
    }
  })
})

describe('with --outbound', () => {
  test('opened packets are protected again by the same SA and number, late ones too', () => {
    const host = new SealingHost(saSpec('aes128gcm16', { esn: true }), { high: 3, low: 0xffff_ffff })
    const packets = Array.from({ length: 4 }, () => host.seal(INNER))
    const order = [1, 0, 3, 2].map((i) => packets[i]!)
    const replay = replayOf([{ ...keyedSaOf(host.spec), replayWindow: 64, esnHigh: 3 }], { outbound: true })
    const esp = (b: Buffer): string => hex(b.subarray(20))
    // The first packet of the capture is number 0 of the next 2^32.
    const again = replayOf([{ ...keyedSaOf(host.spec), replayWindow: 64, esnHigh: 4 }], { outbound: true })
    expect(play(again, order.slice(0, 2)).map((p) => p.slice(40))).toEqual(order.slice(0, 2).map(esp))
    expect(play(replay, packets).map((p) => p.slice(40))).toEqual(packets.map(esp))
    expect(replay.sealer).toMatchObject({ resealed: 4, identical: 4, sealedPlain: 0 })
  })

  test('AH in transport mode is the whole packet again', () => {
    const host = new SealingHost(saSpec('ah-sha256', { mode: 'transport' }))
    const packet = host.seal(TRANSPORT)
    const replay = replayOf([keyedSaOf(host.spec)], { outbound: true })
    expect(play(replay, [packet])).toEqual([hex(packet)])
    expect(replay.sealer).toMatchObject({ resealed: 1, identical: 1 })
  })

  test('plain packets go by the selectors of the key file, and IKE goes nowhere', () => {
    const there = saSpec('aes128gcm16', { localTs: [ts('10.1.0.0/16')], remoteTs: [ts('10.2.0.0/16')] })
    const back = { ...mirrored(there), direction: 'outbound', spi: 0x2002 } as const
    const hosts = [new SealingHost(there), new SealingHost(back)]
    const answer = udpPacket('10.2.0.1', '10.1.0.1', 50)
    const ike = udpPacket('10.1.0.1', '10.2.0.1', 50, { sourcePort: 500, destinationPort: 500 })
    const replay = replayOf(
      hosts.map((h) => keyedSaOf(h.spec)),
      { outbound: true },
    )
    const expected = [hosts[0]!.seal(INNER), hosts[1]!.seal(answer), hosts[0]!.seal(INNER)]
    const made = play(replay, [INNER, answer, ike, INNER, udpPacket('10.1.0.1', '10.9.0.1', 50)])
    expect(made[2]).toBe('NOT_IPSEC')
    expect(made[4]).toBe('NO_POLICY')
    expect([made[0], made[1], made[3]].map((p) => p!.slice(40))).toEqual(
      expected.map((p) => hex(p).slice(40)),
    )
    expect(replay.sealer).toMatchObject({ resealed: 0, sealedPlain: 3 })
  })

  test('a plain fragment is protected as it is', () => {
    const host = new SealingHost(saSpec('aes128gcm16'))
    const [first] = fragments(udpPacket('10.1.0.1', '10.2.0.1', 1000, { df: false }), 504)
    const replay = replayOf([keyedSaOf(host.spec)], { outbound: true })
    expect(play(replay, [first!]).map((p) => p.slice(40))).toEqual([hex(host.seal(first!)).slice(40)])
  })
})
