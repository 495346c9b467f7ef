import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { plainSlab } from '../../../src/bytes/slab.js'
import { espHeaderRoom, openEsp } from '../../../src/ipsec/esp.js'
import { Inbound } from '../../../src/ipsec/inbound.js'
import { Outbound } from '../../../src/ipsec/outbound.js'
import { createInboundSa, createOutboundSa } from '../../../src/ipsec/sa.js'
import { Sad } from '../../../src/ipsec/sad.js'
import { Spd } from '../../../src/ipsec/spd.js'
import { DEFAULT_HANDLING, type SaSpec } from '../../../src/sadb/sa-spec.js'
import { espTwinSeal } from '../../reference/ipsec-twin.js'
import {
  anyV4,
  anyV6,
  DST,
  engines,
  get,
  ipv4HeaderChecksum,
  put,
  REBUILD,
  REBUILD_LEN,
  SLAB_LEN,
  SRC,
  verdict,
} from './fixtures.js'

const load = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8')) as T
const buf = (hex: string): Buffer => Buffer.from(hex, 'hex')

const ENCR: Readonly<Record<string, number>> = {
  NULL: 11,
  'AES-CBC': 12,
  'AES-CTR': 13,
  'AES-CCM-16': 16,
  'AES-GCM-16': 20,
  'ChaCha20-Poly1305': 28,
}
const INTEG: Readonly<Record<string, number>> = {
  'HMAC-SHA1-96': 2,
  'AES-CMAC-96': 8,
  'HMAC-SHA2-256-128': 12,
  'HMAC-SHA2-384-192': 13,
  'HMAC-SHA2-512-256': 14,
}

interface Generated {
  id: string
  mode: 'tunnel' | 'transport'
  udp_encapsulated?: boolean
  encryption?: string
  integrity: string
  enc_key?: string
  salt?: string
  auth_key?: string
  iv?: string
  spi: number
  seq_low: number
  seq_high?: number
  esn: boolean
  original_packet: string
  protected_packet: string
}

const generated = load<{ ah_packets: Generated[]; esp_packets: Generated[] }>('esp-ah-generated')
const known = (v: Generated): boolean =>
  (v.encryption === undefined || ENCR[v.encryption] !== undefined) &&
  (v.integrity === 'AEAD' || INTEG[v.integrity] !== undefined)

/**
 * The packet as the wire has it: the UDP length of the encapsulated ones is not that of the datagram in the file, and no receiver would
 * have got them.
 */
function wirePacket(v: Generated): Buffer {
  const p = buf(v.protected_packet)
  if (v.udp_encapsulated) p.writeUInt16BE(p.length - 20, 24)
  return p
}

/** The outer header with the inner traffic class, which RFC 6040 wants and the file's maker does not write. */
function withTos(v: Generated, packet: Buffer): Buffer {
  const original = buf(v.original_packet)
  const p = Buffer.from(packet)
  if (v.mode === 'transport') return p
  const tos = original[0]! >>> 4 === 4 ? original[1]! : (original.readUInt16BE(0) >>> 4) & 0xff
  if (p[0]! >>> 4 === 4) {
    p[1] = tos
    p.writeUInt16BE(ipv4HeaderChecksum(p.subarray(0, 20)), 10)
  } else p.writeUInt32BE((0x6000_0000 | (tos << 20)) >>> 0, 0)
  return p
}

/** The SA of a generated packet, as its sender has it: addresses are those of the protected packet. */
function senderSpec(v: Generated): SaSpec {
  const p = buf(v.protected_packet)
  const v4 = p[0]! >>> 4 === 4
  return {
    direction: 'outbound',
    protocol: v.encryption === undefined ? 'ah' : 'esp',
    mode: v.mode,
    spi: v.spi,
    policy: 1,
    esn: v.esn,
    replayWindow: 64,
    ...(v.encryption !== undefined && {
      encryption: { id: ENCR[v.encryption]!, key: buf(v.enc_key! + (v.salt ?? '')) },
    }),
    ...(v.integrity !== 'AEAD' && { integrity: { id: INTEG[v.integrity]!, key: buf(v.auth_key!) } }),
    local: v4 ? p.subarray(12, 16) : p.subarray(8, 24),
    remote: v4 ? p.subarray(16, 20) : p.subarray(24, 40),
    ...(v.udp_encapsulated && { udp: { localPort: 4500, remotePort: 4500 } }),
    localTs: [anyV4, anyV6],
    remoteTs: [anyV4, anyV6],
    lifetime: {},
  }
}

function receiver(v: Generated): { slab: ReturnType<typeof plainSlab>; inbound: Inbound } {
  const s = senderSpec(v)
  const slab = plainSlab(SLAB_LEN)
  const sad = new Sad()
  const sa = createInboundSa(
    { ...s, direction: 'inbound', local: s.remote, remote: s.local },
    engines,
    slab,
    { nowMs: 0 },
  )
  if (v.seq_high) sa.replay.startAt(v.seq_high, v.seq_low - 1)
  sad.addInbound(sa)
  return { slab, inbound: new Inbound(slab, sad, { at: REBUILD, length: REBUILD_LEN }) }
}

describe('packets made by another implementation are opened', () => {
  const all = [...generated.ah_packets, ...generated.esp_packets].filter(known)
  test('most of the file is usable', () => expect(all.length).toBeGreaterThan(27))

  for (const v of all)
    test(v.id, () => {
      const { slab, inbound } = receiver(v)
      const packet = wirePacket(v)
      put(slab, DST, packet)
      const v6 = packet[0]! >>> 4 === 6
      const n = v6 ? inbound.openIpv6(DST, packet.length) : inbound.openIpv4(DST, packet.length)
      expect(verdict(n)).toBe(v.original_packet.length / 2)
      expect(get(slab, inbound.at, n).toString('hex')).toBe(v.original_packet)
    })

  for (const v of all.filter((g) => g.udp_encapsulated))
    test(`${v.id}, as a UDP socket has it`, () => {
      const { slab, inbound } = receiver(v)
      const payload = buf(v.protected_packet).subarray(28)
      put(slab, DST, payload)
      const n = inbound.openUdp(DST, payload.length, 0)
      const inner = get(slab, inbound.at, n)
      const original = buf(v.original_packet)
      expect(n).toBe(original.length)
      // In transport mode the IP header is a new one, but says the same of ends, protocol and length.
      expect(inner.subarray(v.mode === 'tunnel' ? 0 : 20)).toEqual(
        original.subarray(v.mode === 'tunnel' ? 0 : 20),
      )
      expect(inner.subarray(12, 20)).toEqual(original.subarray(12, 20))
      expect(inner[9]).toBe(original[9])
    })

  for (const v of all.filter((g) => g.protected_packet.startsWith('6')))
    test(`${v.id}, as a raw IPv6 socket has it`, () => {
      const { slab, inbound } = receiver(v)
      const packet = buf(v.protected_packet)
      const tos = (packet.readUInt16BE(0) >>> 4) & 0xff
      put(slab, DST, packet.subarray(40))
      const n = inbound.openIpv6Payload(DST, packet.length - 40, packet[6]!, tos, packet.subarray(8, 24), 0)
      const original = buf(v.original_packet)
      // The flow label of transport mode cannot be seen by such a socket.
      if (v.mode === 'transport') original.fill(0, 2, 4)[1]! &= 0xf0
      expect(verdict(n)).toBe(original.length)
      expect(get(slab, inbound.at, n).toString('hex')).toBe(original.toString('hex'))
    })
})

describe('the same packets are made', () => {
  function send(v: Generated): Buffer {
    const s = senderSpec(v)
    const slab = plainSlab(SLAB_LEN)
    const sa = createOutboundSa(s, engines, slab, {
      nowMs: 0,
      handling: { ...DEFAULT_HANDLING, df: 'clear' },
    })
    const low = v.seq_low - 1
    sa.skipTo(v.seq_high ?? 0, low)
    const sad = new Sad()
    sad.addOutbound(sa)
    const spd = new Spd()
    spd.add({
      id: 1,
      peer: '',
      child: '',
      mode: s.mode,
      protocol: s.protocol,
      localTs: s.localTs,
      remoteTs: s.remoteTs,
    })
    const outbound = new Outbound(slab, spd, sad, { identification: 0x4320 })
    const original = buf(v.original_packet)
    put(slab, SRC, original)
    expect(outbound.lookup(SRC, original.length)).toBe(original.length)
    const n = outbound.seal(sa, SRC, original.length, DST)
    expect(get(slab, SRC, original.length + 4)).toEqual(Buffer.concat([original, buf('a5a5a5a5')]))
    return get(slab, DST, n)
  }

  for (const v of generated.ah_packets.filter(known))
    test(`${v.id}, to the octet`, () =>
      expect(send(v).toString('hex')).toBe(withTos(v, buf(v.protected_packet)).toString('hex')))

  for (const v of generated.esp_packets.filter(known))
    test(`${v.id}, but for the IV`, () => {
      const ours = send(v)
      const theirs = withTos(v, wirePacket(v))
      const s = senderSpec(v)
      const headers = (theirs[0]! >>> 4 === 4 ? 20 : 40) + (v.udp_encapsulated ? 8 : 0)
      expect(ours.subarray(0, headers + 8).toString('hex')).toBe(
        theirs.subarray(0, headers + 8).toString('hex'),
      )
      const original = buf(v.original_packet)
      const ipHeader = original[0]! >>> 4 === 4 ? 20 : 40
      const payload = v.mode === 'tunnel' ? original : original.subarray(ipHeader)
      const next = v.mode === 'transport' ? 17 : ipHeader === 20 ? 4 : 41
      const high = v.seq_high ?? 0
      // The twin makes theirs with their IV, so it may judge ours.
      expect(espTwinSeal(s, high, v.seq_low, buf(v.iv ?? ''), payload, next)).toEqual(
        theirs.subarray(headers),
      )
      const iv = ours.subarray(headers + 8, headers + 8 + buf(v.iv ?? '').length)
      expect(espTwinSeal(s, high, v.seq_low, iv, payload, next)).toEqual(ours.subarray(headers))
    })
})

interface GcmEsp {
  id: string
  key: string
  salt: string
  spi: number
  esn: boolean
  seq_low?: number
  seq_high?: number
  seq?: number
  inner: string
  pad_len: number
  next_header: number
  esp: string
}

const plainSpec: Omit<SaSpec, 'spi' | 'esn' | 'encryption' | 'integrity'> = {
  direction: 'inbound',
  protocol: 'esp',
  mode: 'tunnel',
  policy: 1,
  replayWindow: 64,
  local: Uint8Array.of(192, 0, 2, 1),
  remote: Uint8Array.of(192, 0, 2, 2),
  localTs: [anyV4, anyV6],
  remoteTs: [anyV4, anyV6],
  lifetime: {},
}

function open(spec: SaSpec, esp: Buffer): { n: number; payload: string; next: number } {
  const slab = plainSlab(SLAB_LEN)
  const sa = createInboundSa(spec, engines, slab, { nowMs: 0 })
  put(slab, DST, esp)
  const n = openEsp(sa, slab, DST, esp.length, DST + espHeaderRoom(sa.esp!))
  const at = DST + 8 + sa.esp!.ivLength
  return { n, payload: get(slab, at, Math.max(0, n)).toString('hex'), next: sa.nextHeader }
}

describe('AES-GCM ESP packets of draft-mcgrew-gcm-test-01', () => {
  const { esp_gcm } = load<{ esp_gcm: GcmEsp[] }>('rfc4106-rfc4543-gcm-gmac-esp')
  for (const v of esp_gcm)
    test(v.id, () => {
      const spec: SaSpec = {
        ...plainSpec,
        spi: v.spi,
        esn: v.esn,
        encryption: { id: 20, key: buf(v.key + v.salt) },
      }
      const iv = buf(v.esp).subarray(8, 16)
      const twin = espTwinSeal(spec, v.seq_high ?? 0, v.seq_low!, iv, buf(v.inner), v.next_header)
      // Where the draft pads as RFC 4303 asks, the twin makes the same packet.
      if (twin.length * 2 === v.esp.length) expect(twin.toString('hex')).toBe(v.esp)
      if (!v.esn && v.seq_low! > 0 && v.spi > 255) {
        const r = open(spec, buf(v.esp))
        if (r.n >= 0) expect(r).toEqual({ n: v.inner.length / 2, payload: v.inner, next: v.next_header })
        else expect(verdict(r.n)).toBe('BAD_PADDING')
      }
    })
})

describe('AES-GMAC ESP packets of draft-mcgrew-gcm-test-01', () => {
  const { esp_gmac } = load<{ esp_gmac: (GcmEsp & { iv: string; plaintext_with_trailer: string })[] }>(
    'rfc4106-rfc4543-gcm-gmac-esp',
  )
  for (const v of esp_gmac)
    test(v.id, () => {
      const spec: SaSpec = {
        ...plainSpec,
        spi: v.spi,
        esn: v.esn,
        encryption: { id: 21, key: buf(v.key + v.salt) },
      }
      const inner = v.plaintext_with_trailer.slice(0, -8)
      expect(v.plaintext_with_trailer.slice(-8)).toBe('01020201')
      expect(espTwinSeal(spec, 0, v.seq_low!, buf(v.iv), buf(inner), 1).toString('hex')).toBe(v.esp)
      expect(open(spec, buf(v.esp))).toEqual({ n: inner.length / 2, payload: inner, next: 1 })
    })
})

test('ChaCha20-Poly1305 ESP packet of RFC 7634 appendix A', () => {
  const { esp } = load<{ esp: GcmEsp[] }>('rfc7634-chacha20poly1305')
  expect(esp).toHaveLength(1)
  for (const v of esp) {
    const spec: SaSpec = {
      ...plainSpec,
      spi: v.spi,
      esn: v.esn,
      encryption: { id: 28, key: buf(v.key + v.salt) },
    }
    expect(open(spec, buf(v.esp))).toEqual({ n: v.inner.length / 2, payload: v.inner, next: v.next_header })
  }
})

describe('AES-CBC ESP packets of RFC 3602, with an ICV added', () => {
  interface Cbc {
    id: string
    key: string
    spi: number
    seq: number
    iv: string
    inner: string
    next_header: number
    esp: string
  }
  const { esp_packets } = load<{ esp_packets: Cbc[] }>('rfc3602-aes-cbc')
  for (const v of esp_packets)
    test(v.id, () => {
      const spec: SaSpec = {
        ...plainSpec,
        spi: v.spi,
        esn: false,
        encryption: { id: 12, key: buf(v.key) },
        integrity: { id: 12, key: buf('11'.repeat(32)) },
      }
      const twin = espTwinSeal(spec, 0, v.seq, buf(v.iv), buf(v.inner), v.next_header)
      expect(twin.subarray(0, -16).toString('hex')).toBe(v.esp)
      expect(open(spec, twin)).toEqual({ n: v.inner.length / 2, payload: v.inner, next: v.next_header })
    })
})

describe('ESP packets recorded between two strongSwan daemons', () => {
  interface Session {
    id: string
    integrity: string
    keys: Record<string, { encryption: string; integrity: string }>
    packets: { spi: string; seq: number; esp: string; inner: string }[]
  }
  const { sessions } = load<{ sessions: Session[] }>('esp-recorded')
  for (const s of sessions)
    test(s.id, () => {
      const slab = plainSlab(SLAB_LEN)
      const sad = new Sad()
      for (const [spi, keys] of Object.entries(s.keys))
        sad.addInbound(
          createInboundSa(
            {
              ...plainSpec,
              spi: Number.parseInt(spi, 16),
              esn: false,
              encryption: { id: 12, key: buf(keys.encryption) },
              integrity: { id: INTEG[s.integrity]!, key: buf(keys.integrity) },
            },
            engines,
            slab,
            { nowMs: 0 },
          ),
        )
      const inbound = new Inbound(slab, sad)
      expect(s.packets).toHaveLength(6)
      for (const p of s.packets) {
        put(slab, DST, buf(p.esp))
        const n = inbound.openUdp(DST, p.esp.length / 2, 0)
        expect(get(slab, inbound.at, n).toString('hex')).toBe(p.inner)
        put(slab, DST, buf(p.esp))
        expect(verdict(inbound.openUdp(DST, p.esp.length / 2, 0))).toBe('REPLAYED')
      }
    })
})
