import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { plainSlab } from '../../src/bytes/slab.js'
import { nobleEngine } from '../../src/crypto/engines/noble.js'
import type { EngineName } from '../../src/crypto/types.js'
import { probeEngines } from '../../src/daemon/engine-probe.js'
import { peekIpsec } from '../../src/replay/ipsec-peek.js'
import { readKeySource } from '../../src/replay/keys/key-source.js'
import { REPLAY_SLAB_LEN, Replay } from '../../src/replay/replay.js'
import { CaptureReader } from '../../src/wire/pcap/capture-reader.js'
import { ipOffset } from '../../src/wire/pcap/link-layer.js'
import { sourceOf } from '../unit/wire/capture-source.js'
import { expectTsharkAgrees } from './agreement.js'
import { bySource, CAPTURES, ipPackets, recordedNames, replayed } from './captured.js'
import { SCENES } from './scenes.js'
import { whyNoTshark } from './tshark.js'

// Captures of sallyport and of strongSwan 5.9.8, made by live.test.ts with SALLYPORT_RECORD=1: wire.pcapng, the key log, and
// what arrived at the hosts.

const engines = (['ipsec-mb', 'openssl', 'noble'] as const).filter((name) =>
  probeEngines(name).some((e) => e.name === name && e.refused === undefined),
)
const noTshark = whyNoTshark()
if (noTshark) console.log(`recorded captures read by tshark: ${noTshark}`)

/** The portable path: ordinary memory, no native call. */
function portable(wire: string, keys: string): Buffer[] {
  const replay = new Replay({
    keys: readKeySource(keys).sas,
    engines: [nobleEngine()],
    slab: plainSlab(REPLAY_SLAB_LEN),
  })
  const reader = new CaptureReader(sourceOf(readFileSync(wire)))
  const packets: Buffer[] = []
  while (reader.next()) {
    const { bytes, at, length, linkType, timeNs } = reader.packet
    const offset = ipOffset(linkType, bytes, at, length)
    if (offset < 0) continue
    const n = replay.play(bytes, at + offset, length - offset, timeNs)
    if (n >= 0) packets.push(Buffer.from(replay.bytes.subarray(replay.at, replay.at + n)))
  }
  replay.close()
  return packets
}

/** ESP or AH of each packet, without what is in front of it. */
const protectedParts = (packets: readonly Buffer[]): string[] =>
  packets.flatMap((p) => {
    const peek = peekIpsec(p, 0, p.length)
    const ike = peek?.spi === 0 || (peek?.udp?.sourcePort === 500 && peek.udp.destinationPort === 500)
    return peek && !ike ? [p.subarray(peek.offset).toString('hex')] : []
  })

test('there is a capture of every scene', () => {
  expect(recordedNames().sort()).toEqual(SCENES.map((s) => s.name).sort())
  expect(engines).toContain('noble')
})

describe.each(SCENES.filter((s) => existsSync(join(CAPTURES, s.name))))('$name', (scene) => {
  const folder = join(CAPTURES, scene.name)
  const [wire, keys] = [join(folder, 'wire.pcapng'), join(folder, 'keys')]
  const arrived = ipPackets(readFileSync(join(folder, 'arrived.pcapng')))
  let temporary: string
  let n = 0
  const output = (): string => join(temporary, `${n++}.pcapng`)
  beforeAll(() => {
    temporary = mkdtempSync(join(tmpdir(), 'sallyport-replay-'))
  })
  afterAll(() => rmSync(temporary, { recursive: true }))

  test.each<EngineName>(engines)('what arrived comes out, engine %s', (engine) => {
    const { packets, summary } = replayed(wire, keys, output(), engine)
    expect(bySource(packets)).toEqual(bySource(arrived))
    expect(summary.engine).toBe(engine)
    expect(summary.accepted).toBe(arrived.length)
    const refused = Object.values(summary.refused).reduce((a, b) => a + b, 0)
    expect(summary.accepted + refused).toBe(summary.packets)
    // Neighbour discovery and IKE.
    expect(Object.keys(summary.refused).filter((cause) => !/^not-ip(sec)?$/.test(cause))).toEqual([])
    const sas = summary.sas.map((sa) => [sa.mode, sa.errors])
    expect(sas).toEqual(Array.from({ length: 2 }, () => [scene.settings.child?.mode ?? 'tunnel', 0]))
  })

  test('and by the portable path', () => {
    expect(bySource(portable(wire, keys))).toEqual(bySource(arrived))
  })

  test.skipIf(!scene.tshark)('with Wireshark’s key file alone', () => {
    const { packets, summary } = replayed(wire, join(keys, 'esp_sa'), output())
    expect(bySource(packets)).toEqual(bySource(arrived))
    expect(summary.sas.map((sa) => sa.mode)).toEqual(
      summary.sas.map(() => scene.settings.child?.mode ?? 'tunnel'),
    )
  })

  test.each<EngineName>(engines)(
    'protected again it is what was captured, or opens as that, engine %s',
    (engine) => {
      const again = output()
      const { packets, summary } = replayed(wire, keys, again, engine, true)
      expect(summary.outbound?.resealed).toBe(arrived.length)
      if (scene.counted) {
        expect(summary.outbound?.identical).toBe(arrived.length)
        expect(protectedParts(packets)).toEqual(protectedParts(ipPackets(readFileSync(wire))))
      }
      expect(bySource(replayed(again, keys, output()).packets)).toEqual(bySource(arrived))
    },
  )

  test.skipIf(!scene.counted).each<EngineName>(engines)(
    'plain packets as the TUN had them become what the wire had, engine %s',
    (engine) => {
      const sent = join(folder, 'sent.pcap')
      const { packets, summary } = replayed(sent, keys, output(), engine, true)
      expect(summary.outbound?.plain).toBe(arrived.length)
      const captured = protectedParts(ipPackets(readFileSync(wire)))
      expect(protectedParts(packets).sort()).toEqual(captured.sort())
    },
  )

  test.skipIf(noTshark !== undefined)('tshark with the key log agrees, octet for octet', () => {
    expectTsharkAgrees(scene, wire, keys, replayed(wire, keys, output()).packets)
  })
})
