import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { onesComplementSum } from '../../../src/bytes/checksum.js'
import { CaptureFile } from '../../lab/wire/capture-file.js'
import { Dice, ipPayload, udpPayload, withIpPayload, withUdpPayload } from '../../lab/wire/craft.js'
import { Frame, type Kind } from '../../lab/wire/frame.js'
import { type Impairment, Judge, VERDICT } from '../../lab/wire/impairments.js'
import { SecretWatch, secretText } from '../../lab/wire/secrets.js'
import { tamper } from '../../lab/wire/tamper.js'

// The wire of the lab: what demo and end-to-end tests conclude rests on it.

/** An Ethernet frame with an IPv4 packet. */
function frameOf(protocol: number, payload: Uint8Array): Buffer {
  const empty = Buffer.alloc(34)
  empty.writeUInt16BE(0x0800, 12)
  empty[14] = 0x45
  empty.writeUInt16BE(20, 16)
  empty[22] = 64
  empty.set([192, 0, 2, 1, 192, 0, 2, 2], 26)
  return withIpPayload(empty, payload, { protocol })
}

function udp(source: number, destination: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(source, 0)
  header.writeUInt16BE(destination, 2)
  header.writeUInt16BE(8 + payload.length, 4)
  return Buffer.concat([header, payload])
}

function tcp(payload: Uint8Array): Buffer {
  const segment = Buffer.concat([Buffer.alloc(20), payload])
  segment[12] = 5 << 4
  const seed = onesComplementSum(Uint8Array.of(192, 0, 2, 1, 192, 0, 2, 2, 0, 6), 0, 10, segment.length)
  segment.writeUInt16BE(~onesComplementSum(segment, 0, segment.length, seed) & 0xffff, 16)
  return segment
}

/** Whether the checksum of a TCP segment between the two addresses of `frameOf` holds. */
function holds(segment: Uint8Array): boolean {
  const seed = onesComplementSum(Uint8Array.of(192, 0, 2, 1, 192, 0, 2, 2, 0, 6), 0, 10, segment.length)
  return onesComplementSum(segment, 0, segment.length, seed) === 0xffff
}

function ike(exchange: number): Buffer {
  const message = Buffer.alloc(60, 1)
  message[18] = exchange
  return message
}

function parse(b: Buffer): Frame {
  const frame = new Frame()
  frame.parse(b, 0, b.length)
  return frame
}

const ah = (next: number, payload: Uint8Array): Buffer =>
  Buffer.concat([Uint8Array.of(next, 5, 0, 0), Buffer.alloc(24, 7), payload])

describe('what a frame is', () => {
  const marker = Buffer.alloc(4)
  const cases: [string, Buffer, Kind][] = [
    ['pre-phase', frameOf(17, udp(500, 500, ike(241))), 'prephase'],
    ['Main Mode', frameOf(17, udp(500, 500, ike(2))), 'ike-main'],
    ['Quick Mode on 4500', frameOf(17, udp(4500, 4500, Buffer.concat([marker, ike(32)]))), 'ike-quick'],
    ['IKE_SA_INIT', frameOf(17, udp(500, 500, ike(34))), 'ike-init'],
    ['IKE_AUTH', frameOf(17, udp(500, 500, ike(35))), 'ike-auth'],
    ['IKE_FOLLOWUP_KE', frameOf(17, udp(500, 500, ike(44))), 'ike-child'],
    ['an IKE message cut short', frameOf(17, udp(500, 500, ike(2).subarray(0, 20))), 'ike-other'],
    ['keepalive', frameOf(17, udp(4500, 4500, Uint8Array.of(0xff))), 'keepalive'],
    ['ESP in UDP', frameOf(17, udp(4500, 4500, Buffer.alloc(60, 9))), 'esp-udp'],
    ['ESP', frameOf(50, Buffer.alloc(60, 9)), 'esp'],
    ['AH', frameOf(51, ah(6, tcp(Buffer.alloc(9)))), 'ah'],
    ['AH of eight octets', frameOf(51, Buffer.alloc(8)), 'ah'],
    ['TCP', frameOf(6, tcp(Buffer.alloc(9))), 'tcp'],
    ['another UDP', frameOf(17, udp(53, 53, Buffer.alloc(9))), 'udp'],
    ['ICMP', frameOf(1, Buffer.alloc(8)), 'icmp'],
    ['an empty frame', Buffer.alloc(0), 'other'],
  ]
  test.each(cases)('%s', (_, frame, kind) => expect(parse(frame).kind).toBe(kind))

  test('no frame, however cut or spoilt, is read behind its end', () => {
    const dice = new Dice(7)
    for (let i = 0; i < 20_000; i++) {
      const b = dice.below(2) === 0 ? dice.cut(dice.pick(cases)[1]) : dice.spoil(dice.pick(cases)[1], 14)
      const frame = parse(b)
      expect(frame.payload).toBeLessThanOrEqual(frame.end)
      expect(frame.end).toBeLessThanOrEqual(Math.max(b.length, 14))
    }
  })
})

describe('planted secrets', () => {
  const tag = '0123456789abcdef'
  const look = (watch: SecretWatch, b: Buffer, direction: 0 | 1 = 0): void =>
    watch.look(b, parse(b), 0, direction)

  test('are found whole, inside AH, and across two segments; each counts once', () => {
    const watch = new SecretWatch(tag)
    look(watch, frameOf(6, tcp(Buffer.from(`xx${secretText(tag, 1)}yy${secretText(tag, 2)}`))))
    look(watch, frameOf(6, tcp(Buffer.from(`xx${secretText(tag, 1)}`))))
    look(watch, frameOf(51, ah(6, tcp(Buffer.from(`.......................${secretText(tag, 3)}`)))))
    expect([...watch.seen]).toEqual([1, 2, 3])
    const whole = Buffer.from(`${'.'.repeat(40)}${secretText(tag, 4)}${'.'.repeat(40)}`)
    for (const cut of [41, 50, 60]) {
      const other = new SecretWatch(tag)
      look(other, frameOf(6, tcp(whole.subarray(0, cut))))
      look(other, frameOf(6, tcp(Buffer.alloc(60))), 1)
      look(other, frameOf(6, tcp(whole.subarray(cut))))
      expect([...other.seen], `cut at ${cut}`).toEqual([4])
    }
  })

  test('are not found in what only looks alike', () => {
    const watch = new SecretWatch(tag)
    look(watch, frameOf(6, tcp(Buffer.from(`${tag}:12a4 ${tag} 0001`))))
    expect(watch.seen.size).toBe(0)
  })
})

describe('tampering', () => {
  test.each([
    ['TCP', (payload: Buffer) => frameOf(6, tcp(payload)), 20],
    ['TCP in AH', (payload: Buffer) => frameOf(51, ah(6, tcp(payload))), 48],
  ])('%s: one bit of the payload differs and the checksum holds', (_, make, header) => {
    const dice = new Dice(3)
    for (let i = 0; i < 2000; i++) {
      const before = make(dice.octets(1 + dice.below(64)))
      const after = Buffer.from(before)
      expect(tamper(after, parse(after), dice.below(1e6) / 1e6)).toBe(true)
      const at = 34 + header
      const flipped = after.subarray(at).reduce((n, v, k) => n + bits(v ^ before[at + k]!), 0)
      expect(flipped).toBe(1)
      expect(holds(after.subarray(at - 20))).toBe(true)
    }
  })

  test('ESP: one bit behind the sequence number differs', () => {
    const before = frameOf(50, Buffer.alloc(40, 5))
    const after = Buffer.from(before)
    expect(tamper(after, parse(after), 0.999)).toBe(true)
    expect(after.subarray(0, 42)).toEqual(before.subarray(0, 42))
    expect(after.equals(before)).toBe(false)
  })

  test('a segment without payload is left alone', () => {
    const frame = frameOf(6, tcp(Buffer.alloc(0)))
    const before = Buffer.from(frame)
    expect(tamper(frame, parse(frame), 0.5)).toBe(false)
    expect(frame).toEqual(before)
  })
})

const bits = (v: number): number => v.toString(2).replaceAll('0', '').length

describe('impairments', () => {
  const frame = parse(frameOf(50, Buffer.alloc(100, 5)))
  const verdicts = (rules: Impairment[], n: number, seed = 1): number[] => {
    const judge = new Judge(rules, seed)
    return Array.from({ length: n }, () => judge.judge(frame, 134, 'a-to-b'))
  }

  test('the first rule that fits decides', () => {
    const judge = new Judge([
      { direction: 'b-to-a', cut: true },
      { kinds: ['ah'], cut: true },
      { minimumLength: 500, cut: true },
      { loss: 1 },
    ])
    expect(judge.judge(frame, 134, 'b-to-a')).toBe(VERDICT.DROP)
    expect(judge.judge(frame, 134, 'a-to-b')).toBe(VERDICT.DROP)
    expect(new Judge([{ kinds: ['ah'], cut: true }]).judge(frame, 134, 'a-to-b')).toBe(VERDICT.PASS)
    expect(new Judge([{ minimumLength: 500, cut: true }]).judge(frame, 134, 'a-to-b')).toBe(VERDICT.PASS)
  })

  test('neighbour discovery passes unless it is named', () => {
    const arp = Buffer.alloc(42)
    arp.writeUInt16BE(0x0806, 12)
    expect(new Judge([{ cut: true }]).judge(parse(arp), 42, 'a-to-b')).toBe(VERDICT.PASS)
    expect(new Judge([{ kinds: ['arp'], cut: true }]).judge(parse(arp), 42, 'a-to-b')).toBe(VERDICT.DROP)
  })

  test('loss comes as often as it is asked for, and the same each time', () => {
    const lost = verdicts([{ loss: 0.2 }], 10_000).filter((v) => v === VERDICT.DROP).length
    expect(lost).toBeGreaterThan(1800)
    expect(lost).toBeLessThan(2200)
    expect(verdicts([{ loss: 0.2 }], 500, 9)).toEqual(verdicts([{ loss: 0.2 }], 500, 9))
  })

  test('tampering is spread and bounded', () => {
    const v = verdicts([{ tamper: { every: 10, limit: 7 } }], 1000)
    expect(v.flatMap((x, i) => (x === VERDICT.TAMPER ? [i] : []))).toEqual([9, 19, 29, 39, 49, 59, 69])
  })
})

describe('forging', () => {
  test('another payload has its lengths and header checksum', () => {
    const frame = withUdpPayload(
      frameOf(17, udp(500, 500, ike(2))),
      Buffer.alloc(11, 3),
      Uint8Array.of(10, 0, 0, 9),
    )
    expect(frame).toHaveLength(14 + 20 + 8 + 11)
    expect(onesComplementSum(frame, 14, 20, 0)).toBe(0xffff)
    expect(ipPayload(frame).readUInt16BE(4)).toBe(19)
    expect(udpPayload(frame)).toEqual(Buffer.alloc(11, 3))
    expect([...frame.subarray(26, 30)]).toEqual([10, 0, 0, 9])
  })
})

test('a capture file ends at its bound and counts the rest', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pcapng-'))
  try {
    const path = join(directory, 'x.pcapng')
    const writer = new CaptureFile(path, ['to-a', 'to-b'], 4096)
    const frame = frameOf(50, Buffer.alloc(101, 5))
    for (let i = 0; i < 100; i++) writer.frame(i & 1, 1_700_000_000, i, frame, 0, frame.length)
    writer.close()
    const file = readFileSync(path)
    expect(file.length).toBeLessThanOrEqual(4096)
    expect(writer.written + writer.left).toBe(100)
    expect(writer.left).toBeGreaterThan(0)
    // Blocks lie end to end, and say their length at both ends.
    const types: number[] = []
    for (let at = 0; at < file.length; ) {
      const length = file.readUInt32LE(at + 4)
      expect(length % 4).toBe(0)
      expect(file.readUInt32LE(at + length - 4)).toBe(length)
      types.push(file.readUInt32LE(at))
      at += length
    }
    expect(types).toEqual([0x0a0d0d0a, 1, 1, ...Array.from({ length: writer.written }, () => 6)])
  } finally {
    rmSync(directory, { recursive: true })
  }
})
