import { pathToFileURL } from 'node:url'
import { SCRATCH_LEN } from '../src/bytes/slab.js'
import { ENCR } from '../src/crypto/algorithms.js'
import { selectEngines } from '../src/crypto/select.js'
import { Coalescer, coalescerHeaderRoom, SEGMENTS_MAX } from '../src/dataplane/coalescing.js'
import { SEGMENT_HEADER_MAX, Segmenter } from '../src/dataplane/segmentation.js'
import { nativeSlab } from '../src/ffi/slab.js'
import { Inbound } from '../src/ipsec/inbound.js'
import { Outbound } from '../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa } from '../src/ipsec/sa.js'
import { Sad } from '../src/ipsec/sad.js'
import { Spd } from '../src/ipsec/spd.js'
import { NativeIoVectors } from '../src/net/iovectors.js'
import type { SaSpec } from '../src/sadb/sa-spec.js'
import { selectorOf } from '../src/wire/traffic-selector.js'

export interface StageRow {
  readonly stage: string
  /** Nanoseconds a packet of 1400 octets of TCP payload. */
  readonly nanoseconds: number
}

const MSS = 1388
const SEGMENTS = 44
const A = Uint8Array.of(10, 88, 1, 1)
const B = Uint8Array.of(10, 88, 2, 1)

/**
 * The data path without I/O: one large TCP packet is looked up, cut and sealed, its ESP packets are opened and joined again.
 * Returns the time of each stage, as differences of runs that end after it.
 * @param packets about how many packets each run has
 */
export function benchPipeline(packets: number): StageRow[] {
  const p = new Pipeline()
  p.run(20_000, 'joined') // warm up
  const times = STAGES.map((stage) => p.run(packets, stage))
  return STAGES.map((stage, i) => ({ stage, nanoseconds: times[i]! - (times[i - 1] ?? 0) }))
}

const STAGES = ['cut', 'sealed', 'opened', 'joined'] as const
type Stage = (typeof STAGES)[number]

class Pipeline {
  private readonly slab = nativeSlab(1 << 20)
  private readonly outbound: Outbound
  private readonly inbound: Inbound
  private readonly segmenter: Segmenter
  private readonly coalescer: Coalescer
  private readonly template: Uint8Array
  private readonly packetAt: number
  private readonly outAt: number
  private readonly at = new Int32Array(SEGMENTS + 1)
  private readonly length = new Int32Array(SEGMENTS + 1)
  delivered = 0

  constructor() {
    const { slab } = this
    let next = SCRATCH_LEN
    const take = (n: number): number => {
      const from = next
      next += (n + 63) & ~63
      return from
    }
    const { engines } = selectEngines('auto', slab)
    const spd = new Spd()
    const local = [selectorOf({ address: A, length: 32 })]
    const remote = [selectorOf({ address: B, length: 32 })]
    spd.add({
      id: 1,
      peer: 'b',
      child: 'bench',
      mode: 'tunnel',
      protocol: 'esp',
      localTs: local,
      remoteTs: remote,
    })
    const spec: SaSpec = {
      direction: 'outbound',
      protocol: 'esp',
      mode: 'tunnel',
      spi: 0x1001,
      policy: 1,
      encryption: { id: ENCR.AES_GCM_16, key: new Uint8Array(20).fill(7) },
      esn: true,
      replayWindow: 4096,
      local: Uint8Array.of(10, 77, 0, 1),
      remote: Uint8Array.of(10, 77, 0, 2),
      udp: { localPort: 4500, remotePort: 4500 },
      localTs: local,
      remoteTs: remote,
      lifetime: {},
    }
    const [here, there] = [new Sad(), new Sad()]
    here.addOutbound(createOutboundSa(spec, engines, slab, { nowMs: 0 }))
    const inboundSpec: SaSpec = {
      ...spec,
      direction: 'inbound',
      local: spec.remote,
      remote: spec.local,
      localTs: remote,
      remoteTs: local,
    }
    there.addInbound(createInboundSa(inboundSpec, engines, slab, { nowMs: 0 }))
    this.outbound = new Outbound(slab, spd, here)
    this.inbound = new Inbound(slab, there)
    this.segmenter = new Segmenter(slab, take(SEGMENT_HEADER_MAX))
    this.coalescer = new Coalescer(
      slab,
      take(coalescerHeaderRoom),
      new NativeIoVectors(slab, SEGMENTS_MAX + 1),
      {
        writeOne: () => {
          this.delivered++
        },
        writeMany: (_, count) => {
          this.delivered += count - 1
          return true
        },
      },
    )
    this.packetAt = take(66_000)
    this.outAt = take(SEGMENTS * 1600)
    this.template = largePacket()
  }

  /** Nanoseconds a packet when everything up to `last` is done. */
  run(packets: number, last: Stage): number {
    const rounds = Math.ceil(packets / SEGMENTS)
    const { slab, segmenter, outbound, inbound, coalescer } = this
    const from = process.hrtime.bigint()
    for (let round = 0; round < rounds; round++) {
      slab.bytes.set(this.template, this.packetAt)
      const length = outbound.lookup(this.packetAt, this.template.length)
      segmenter.begin(this.packetAt, length, MSS)
      const { sa } = outbound
      let out = this.outAt
      let n = 0
      while (segmenter.next()) {
        if (last === 'cut') continue
        const sealed = outbound.sealPayload(sa!, segmenter.at, segmenter.length, out)
        this.at[n] = out
        this.length[n++] = sealed
        out += sealed
      }
      if (last === 'cut' || last === 'sealed') continue
      for (let i = 0; i < n; i++) {
        const inner = inbound.openUdp(this.at[i]!, this.length[i]!, 0)
        if (last === 'joined' && inner > 0) coalescer.add(inbound.at, inner)
      }
      if (last === 'joined') coalescer.flush()
    }
    return Number(process.hrtime.bigint() - from) / (rounds * SEGMENTS)
  }
}

/** A TCP packet of SEGMENTS segments, as a TUN device with TSO gives it. */
function largePacket(): Uint8Array {
  const packet = new Uint8Array(40 + SEGMENTS * MSS)
  const v = new DataView(packet.buffer)
  v.setUint32(0, 0x4500_0000 | packet.length)
  v.setUint32(4, 0x0001_4000)
  v.setUint32(8, 0x4006_0000)
  packet.set(A, 12)
  packet.set(B, 16)
  v.setUint16(20, 40_000)
  v.setUint16(22, 5201)
  v.setUint32(28, 1)
  v.setUint16(32, 0x5010)
  v.setUint16(34, 512)
  for (let i = 40; i < packet.length; i++) packet[i] = i * 7
  return packet
}

// Run by itself, e.g. under --trace-gc: says when the warm-up is over and when the packets are through.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const count = Number(process.argv[2] ?? 1_000_000)
  const p = new Pipeline()
  p.run(100_000, 'joined')
  console.log('warm')
  p.delivered = 0
  p.run(count, 'joined')
  console.log(`delivered ${p.delivered}`)
}
