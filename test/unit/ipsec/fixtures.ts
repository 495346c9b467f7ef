import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { fromHex } from '../../../src/bytes/octets.js'
import { plainSlab, SCRATCH_LEN, type Slab } from '../../../src/bytes/slab.js'
import { DROP, type DropName } from '../../../src/ipsec/drop.js'
import { Inbound } from '../../../src/ipsec/inbound.js'
import { Outbound, type OutboundOptions } from '../../../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa, type InboundSa, type OutboundSa } from '../../../src/ipsec/sa.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { Spd } from '../../../src/ipsec/spd.js'
import { DEFAULT_HANDLING, type PacketHandling, type SaSpec } from '../../../src/sadb/sa-spec.js'
import { parseIp, parsePrefix } from '../../../src/wire/ip-address.js'
import { selectorOf, type TrafficSelector } from '../../../src/wire/traffic-selector.js'
import { nodeCryptoEngine } from '../../reference/node-crypto-engine.js'

export const ip = (text: string): Uint8Array => parseIp(text)!
export const ts = (text: string, protocol = 0): TrafficSelector => selectorOf(parsePrefix(text)!, protocol)
export const anyV4 = ts('0.0.0.0/0')
export const anyV6 = ts('::/0')
export const octets = fromHex

/** Where tests put packets: far enough from each other for 64 KiB packets. */
export const SRC = SCRATCH_LEN + 256
export const DST = SRC + 70_000
export const REBUILD = DST + 70_000
export const REBUILD_LEN = 70_000
export const SLAB_LEN = 230_000

export const engines = [nodeCryptoEngine()]

const key = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff)

/** Algorithms by a short name: encryption id with key octets (salt included), integrity id with key octets. */
export const SUITES: Readonly<Record<string, Pick<SaSpec, 'protocol' | 'encryption' | 'integrity'>>> = {
  aes128gcm16: { protocol: 'esp', encryption: { id: 20, key: key(20, 1) } },
  aes256gcm16: { protocol: 'esp', encryption: { id: 20, key: key(36, 2) } },
  chacha20poly1305: { protocol: 'esp', encryption: { id: 28, key: key(36, 3) } },
  aes128ccm8: { protocol: 'esp', encryption: { id: 14, key: key(19, 12) } },
  aes256ccm16: { protocol: 'esp', encryption: { id: 16, key: key(35, 13) } },
  aes128gmac: { protocol: 'esp', encryption: { id: 21, key: key(20, 14) } },
  'aes128ctr-sha256': {
    protocol: 'esp',
    encryption: { id: 13, key: key(20, 15) },
    integrity: { id: 12, key: key(32, 16) },
  },
  'aes128-aesxcbc': {
    protocol: 'esp',
    encryption: { id: 12, key: key(16, 17) },
    integrity: { id: 5, key: key(16, 18) },
  },
  'null-aescmac': {
    protocol: 'esp',
    encryption: { id: 11, key: new Uint8Array(0) },
    integrity: { id: 8, key: key(16, 19) },
  },
  'aes128-sha256': {
    protocol: 'esp',
    encryption: { id: 12, key: key(16, 4) },
    integrity: { id: 12, key: key(32, 5) },
  },
  'aes256-sha512': {
    protocol: 'esp',
    encryption: { id: 12, key: key(32, 6) },
    integrity: { id: 14, key: key(64, 7) },
  },
  'null-sha256': {
    protocol: 'esp',
    encryption: { id: 11, key: new Uint8Array(0) },
    integrity: { id: 12, key: key(32, 8) },
  },
  'ah-sha256': { protocol: 'ah', integrity: { id: 12, key: key(32, 9) } },
  'ah-sha1': { protocol: 'ah', integrity: { id: 2, key: key(20, 10) } },
  'ah-aesxcbc': { protocol: 'ah', integrity: { id: 5, key: key(16, 20) } },
  'ah-aescmac': { protocol: 'ah', integrity: { id: 8, key: key(16, 21) } },
  'ah-aes128gmac': { protocol: 'ah', integrity: { id: 9, key: key(20, 22) } },
  'ah-aes256gmac': { protocol: 'ah', integrity: { id: 11, key: key(36, 23) } },
  'ah-sha384': { protocol: 'ah', integrity: { id: 13, key: key(48, 11) } },
}

/** An outbound SA as host A has it; every field may be changed. */
export function saSpec(suite: string, change: Partial<SaSpec> = {}): SaSpec {
  return {
    direction: 'outbound',
    mode: 'tunnel',
    spi: 0x0bad_cafe,
    policy: 1,
    esn: true,
    replayWindow: 64,
    local: ip('192.0.2.1'),
    remote: ip('192.0.2.2'),
    localTs: [anyV4, anyV6],
    remoteTs: [anyV4, anyV6],
    lifetime: {},
    ...SUITES[suite]!,
    ...change,
  }
}

/** The same SA as the other host has it. */
export const mirrored = (s: SaSpec): SaSpec => ({
  ...s,
  direction: s.direction === 'outbound' ? 'inbound' : 'outbound',
  local: s.remote,
  remote: s.local,
  localTs: s.remoteTs,
  remoteTs: s.localTs,
  ...(s.udp && { udp: { localPort: s.udp.remotePort, remotePort: s.udp.localPort } }),
})

/** Two ends of one SA over one slab: what A seals at DST, B opens there. */
export interface Pair {
  readonly slab: Slab
  readonly out: OutboundSa
  readonly in: InboundSa
  readonly outbound: Outbound
  readonly inbound: Inbound
  readonly sad: Sad
  readonly spd: Spd
  readonly peerSad: Sad
}

export function pair(
  spec: SaSpec,
  options: OutboundOptions = {},
  handling: Partial<PacketHandling> = {},
): Pair {
  const slab = plainSlab(SLAB_LEN)
  const out = createOutboundSa(spec, engines, slab, {
    nowMs: 0,
    handling: { ...DEFAULT_HANDLING, ...handling },
  })
  const inSa = createInboundSa(mirrored(spec), engines, slab, {
    nowMs: 0,
    handling: { ...DEFAULT_HANDLING, ...handling },
  })
  const sad = new Sad()
  const peerSad = new Sad()
  const spd = new Spd()
  sad.addOutbound(out)
  peerSad.addInbound(inSa)
  spd.add({
    id: spec.policy,
    peer: 'b',
    child: 'c',
    mode: spec.mode,
    protocol: spec.protocol,
    localTs: [anyV4, anyV6],
    remoteTs: [anyV4, anyV6],
  })
  return {
    slab,
    out,
    in: inSa,
    sad,
    spd,
    peerSad,
    outbound: new Outbound(slab, spd, sad, options),
    inbound: new Inbound(slab, peerSad, { at: REBUILD, length: REBUILD_LEN }),
  }
}

/** Puts octets into the slab with a recognisable filling behind them. */
export function put(slab: Slab, at: number, p: Uint8Array): void {
  slab.bytes.set(p, at)
  slab.bytes.fill(0xa5, at + p.length, at + p.length + 300)
}

export const get = (slab: Slab, at: number, length: number): Buffer =>
  Buffer.from(slab.bytes.slice(at, at + length))

/** Name of a result for readable failures: a length, or the name of the drop code. */
export function verdict(n: number): number | DropName | 'ACQUIRE' {
  if (n === -64) return 'ACQUIRE'
  const name = (Object.keys(DROP) as DropName[]).find((k) => DROP[k] === n)
  return name ?? n
}

/** A UDP packet with checksums as they should be is not needed here: policy and ESP look at headers only. */
export function udpPacket(
  source: string,
  destination: string,
  payload: number,
  change: {
    tos?: number
    df?: boolean
    id?: number
    ttl?: number
    sourcePort?: number
    destinationPort?: number
  } = {},
): Buffer {
  const s = ip(source)
  const d = ip(destination)
  const { tos = 0, df = true, id = 0x1234, ttl = 64, sourcePort = 1000, destinationPort = 2000 } = change
  const udp = Buffer.alloc(8 + payload)
  udp.writeUInt16BE(sourcePort, 0)
  udp.writeUInt16BE(destinationPort, 2)
  udp.writeUInt16BE(8 + payload, 4)
  for (let i = 0; i < payload; i++) udp[8 + i] = (i * 31 + payload) & 0xff
  if (s.length === 16) {
    const h = Buffer.alloc(40)
    h.writeUInt32BE((0x6000_0000 | (tos << 20)) >>> 0, 0)
    h.writeUInt16BE(udp.length, 4)
    h[6] = 17
    h[7] = ttl
    h.set(s, 8)
    h.set(d, 24)
    return Buffer.concat([h, udp])
  }
  const h = Buffer.alloc(20)
  h[0] = 0x45
  h[1] = tos
  h.writeUInt16BE(20 + udp.length, 2)
  h.writeUInt16BE(id, 4)
  h.writeUInt16BE(df ? 0x4000 : 0, 6)
  h[8] = ttl
  h[9] = 17
  h.set(s, 12)
  h.set(d, 16)
  h.writeUInt16BE(ipv4HeaderChecksum(h), 10)
  return Buffer.concat([h, udp])
}

export function ipv4HeaderChecksum(h: Buffer): number {
  let sum = 0
  for (let i = 0; i < h.length; i += 2) sum += i === 10 ? 0 : h.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** What a router sends back about a packet that was sent, `quoted` octets of it. */
export function tooBig(packet: Uint8Array, mtu: number, quoted = packet.length): Buffer {
  const v6 = packet[0]! >>> 4 === 6
  const icmp = Buffer.alloc(8)
  icmp[0] = v6 ? 2 : 3
  icmp[1] = v6 ? 0 : 4
  if (v6) icmp.writeUInt32BE(mtu, 4)
  else icmp.writeUInt16BE(mtu, 6)
  const message = Buffer.concat([icmp, packet.subarray(0, quoted)])
  if (v6) return message
  message.writeUInt16BE(~onesComplementSum(message, 0, message.length, 0) & 0xffff, 2)
  const h = Buffer.alloc(20)
  h[0] = 0x45
  h.writeUInt16BE(20 + message.length, 2)
  h[9] = 1
  return Buffer.concat([h, message])
}
