import { describe, expect, test } from 'vitest'
import { plainSlab, type Slab } from '../../src/bytes/slab.js'
import { nobleEngine } from '../../src/crypto/engines/noble.js'
import { selectEngines } from '../../src/crypto/select.js'
import type { CryptoEngine, EngineName } from '../../src/crypto/types.js'
import { nativeCalls } from '../../src/ffi/koffi.js'
import { nativeSlab } from '../../src/ffi/slab.js'
import { Inbound } from '../../src/ipsec/inbound.js'
import { Outbound } from '../../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa } from '../../src/ipsec/sa.js'
import { Sad } from '../../src/ipsec/sad.js'
import { Spd } from '../../src/ipsec/spd.js'
import { keyedSaOf } from '../../src/replay/keys/keyed-sa.js'
import { REPLAY_SLAB_LEN, Replay } from '../../src/replay/replay.js'
import type { SaMode, SaSpec } from '../../src/sadb/sa-spec.js'
import {
  DST,
  ip,
  mirrored,
  SLAB_LEN,
  SRC,
  SUITES,
  saSpec,
  udpPacket,
  verdict,
} from '../unit/ipsec/fixtures.js'

// One stream of packets, good and bad, through every engine on native memory, through the portable path, and through replay: the
// same octets go out, and the same verdicts and octets come in.

interface Path {
  readonly name: string
  readonly engines: readonly CryptoEngine[]
  slab(length: number): Slab
}

function paths(): Path[] {
  const found: Path[] = [{ name: 'portable', engines: [nobleEngine()], slab: plainSlab }]
  if (!nativeCalls().available) return found
  for (const name of ['ipsec-mb', 'openssl', 'noble'] as const satisfies EngineName[])
    try {
      const { engines } = selectEngines(name, nativeSlab(1 << 18))
      found.push({ name: `${name} on native memory`, engines, slab: nativeSlab })
    } catch (error) {
      console.log(`${name}: skipped, ${(error as Error).message}`)
    }
  return found
}

const PATHS = paths()

/** Pseudo-random, and the same in every run. */
function random(seed: number): () => number {
  let s = seed
  return () => {
    s = (Math.imul(s, 1_103_515_245) + 12_345) >>> 0
    return s / 2 ** 32
  }
}

const inner = (mode: SaMode, v6: boolean): Buffer[] => {
  const [from, to] =
    mode === 'tunnel'
      ? ['10.1.0.1', '10.2.0.1']
      : v6
        ? ['2001:db8::1', '2001:db8::2']
        : ['192.0.2.1', '192.0.2.2']
  const lengths = [0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 255, 256, 257, 512, 1000, 1352, 1400, 4000, 8900]
  return lengths.map((n, i) => udpPacket(from!, to!, n, { tos: i % 2 === 0 ? 0 : 0xb8, id: 100 + i }))
}

/** Outer packets, by one path. */
function seal(path: Path, spec: SaSpec, packets: readonly Buffer[]): string[] {
  const slab = path.slab(SLAB_LEN)
  const sa = createOutboundSa(spec, path.engines, slab, {
    nowMs: 0,
    ivSalt: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  })
  const outbound = new Outbound(slab, new Spd(), new Sad())
  const sealed = packets.map((p) => {
    slab.bytes.set(p, SRC)
    const n = outbound.seal(sa, SRC, p.length, DST)
    return n < 0 ? String(verdict(n)) : Buffer.from(slab.bytes.subarray(DST, DST + n)).toString('hex')
  })
  sa.destroy()
  return sealed
}

/** Verdicts and inner packets, by one path. */
function open(path: Path, spec: SaSpec, packets: readonly Buffer[]): string[] {
  const slab = path.slab(SLAB_LEN)
  const sad = new Sad()
  sad.addInbound(createInboundSa(mirrored(spec), path.engines, slab, { nowMs: 0 }))
  const inbound = new Inbound(slab, sad)
  const opened = packets.map((p) => {
    slab.bytes.set(p, DST)
    const n = p[0]! >>> 4 === 4 ? inbound.openIpv4(DST, p.length) : inbound.openIpv6(DST, p.length)
    return n < 0
      ? String(verdict(n))
      : Buffer.from(slab.bytes.subarray(inbound.at, inbound.at + n)).toString('hex')
  })
  sad.clear()
  return opened
}

function replayed(path: Path, spec: SaSpec, packets: readonly Buffer[]): string[] {
  const keys = [{ ...keyedSaOf(spec), replayWindow: spec.replayWindow }]
  const replay = new Replay({ keys, engines: path.engines, slab: path.slab(REPLAY_SLAB_LEN) })
  const opened = packets.map((p) => {
    const n = replay.play(p, 0, p.length, undefined)
    return n < 0
      ? String(verdict(n))
      : Buffer.from(replay.bytes.subarray(replay.at, replay.at + n)).toString('hex')
  })
  replay.close()
  return opened
}

/** The stream as a hostile path delivers it: reordered, repeated, changed, cut. */
function delivered(packets: readonly Buffer[], seed: number): Buffer[] {
  const next = random(seed)
  const stream: Buffer[] = []
  for (const p of packets) {
    stream.splice(stream.length - Math.floor(next() * Math.min(4, stream.length)), 0, p)
    const choice = next()
    const other = stream[Math.floor(next() * stream.length)]!
    if (choice < 0.2) stream.push(other)
    else if (choice < 0.5) {
      const changed = Buffer.from(other)
      const place = 20 + Math.floor(next() * (changed.length - 20))
      changed[place] = changed[place]! ^ (1 << Math.floor(next() * 8))
      stream.push(changed)
    } else if (choice < 0.6) stream.push(other.subarray(0, Math.floor(next() * other.length)))
  }
  return stream.filter((p) => p.length > 0)
}

const shapes: [string, Partial<SaSpec>][] = [
  ['tunnel', { mode: 'tunnel' }],
  ['tunnel over IPv6', { mode: 'tunnel', local: ip('2001:db8::1'), remote: ip('2001:db8::2') }],
  ['transport', { mode: 'transport' }],
  ['transport over IPv6', { mode: 'transport', local: ip('2001:db8::1'), remote: ip('2001:db8::2') }],
  [
    'tunnel in UDP, 32-bit numbers',
    { mode: 'tunnel', esn: false, udp: { localPort: 4500, remotePort: 4500 } },
  ],
]

test('there is a fast path to compare with', () => {
  expect(PATHS.length).toBe(nativeCalls().available ? PATHS.length : 1)
  if (nativeCalls().available) expect(PATHS.map((p) => p.name)).toContain('noble on native memory')
})

describe.each(shapes)('%s', (_name, shape) => {
  const suites = Object.keys(SUITES).filter(
    (suite) => shape.udp === undefined || SUITES[suite]!.protocol === 'esp',
  )

  test.each(suites)('%s: the same octets and verdicts on every path', (suite) => {
    const spec = saSpec(suite, shape)
    const packets = inner(spec.mode, spec.local.length === 16)
    const sealed = seal(PATHS[0]!, spec, packets)
    for (const path of PATHS.slice(1))
      expect([path.name, seal(path, spec, packets)]).toEqual([path.name, sealed])

    const stream = delivered(
      sealed.map((p) => Buffer.from(p, 'hex')),
      suite.length * 7919,
    )
    const opened = open(PATHS[0]!, spec, stream)
    // The stream is of both kinds, or the comparison would say little.
    expect(opened.filter((o) => /^[0-9a-f]/.test(o)).length).toBeGreaterThan(10)
    expect(opened.filter((o) => /^[A-Z]/.test(o)).length).toBeGreaterThan(3)
    for (const path of PATHS) {
      expect([path.name, open(path, spec, stream)]).toEqual([path.name, opened])
      expect([path.name, 'replay', replayed(path, spec, stream)]).toEqual([path.name, 'replay', opened])
    }
  })
})
