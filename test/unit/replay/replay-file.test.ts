import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { run } from '../../../src/cli/run.js'
import { keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { formatSallyportSa } from '../../../src/replay/keys/sallyport-sa.js'
import { PcapngWriter } from '../../../src/wire/pcap/capture-writer.js'
import { LINKTYPE } from '../../../src/wire/pcap/link-layer.js'
import { saSpec, udpPacket } from '../ipsec/fixtures.js'
import { readCapture } from '../wire/capture-source.js'
import { fragments, SealingHost } from './ends.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-replay-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
  process.exitCode = 0
})

const at = (name: string): string => join(folder, name)

/** Runs `sallyport replay` in this process. */
async function replay(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const said = { out: '', err: '' }
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((t) => {
      said.out += t
      return true
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation((t) => {
      said.err += t
      return true
    }),
  ]
  try {
    return { status: await run(['replay', ...args]), ...said }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const INNER = udpPacket('10.1.0.1', '10.2.0.1', 100)
const host = () => new SealingHost(saSpec('aes128gcm16'))
const keys = (): string => {
  writeFileSync(at('keys'), `${formatSallyportSa(keyedSaOf(saSpec('aes128gcm16')))}\n`)
  return at('keys')
}

/** A capture whose packets come from interfaces of the given link types, in turn. */
function capture(
  name: string,
  packets: readonly { linkType: number; octets: Buffer; originalLength?: number }[],
): string {
  const pieces: Buffer[] = []
  const types = [...new Set(packets.map((p) => p.linkType))]
  const writer = new PcapngWriter(
    (b) => pieces.push(Buffer.from(b)),
    types.map((linkType) => ({ name: `type ${linkType}`, linkType })),
  )
  for (const [i, { linkType, octets, originalLength }] of packets.entries())
    writer.packet(
      types.indexOf(linkType),
      1_700_000_000_000_000_000n + BigInt(i),
      octets,
      0,
      octets.length,
      originalLength,
    )
  writer.flush()
  writeFileSync(at(name), Buffer.concat(pieces))
  return at(name)
}

const raw = (octets: Buffer) => ({ linkType: LINKTYPE.RAW, octets })
const framed = (linkType: number, head: string, octets: Buffer) => ({
  linkType,
  octets: Buffer.concat([Buffer.from(head.replaceAll(' ', ''), 'hex'), octets]),
})
const MACS = '02000000000a 02000000000b'

describe('sallyport replay', () => {
  test('every link type, with what is no IP beside it, summed up to the packet', async () => {
    const h = host()
    const next = (): Buffer => h.seal(INNER)
    const cut = next()
    const file = capture('wire.pcapng', [
      raw(next()),
      framed(LINKTYPE.ETHERNET, `${MACS} 0800`, next()),
      framed(LINKTYPE.ETHERNET, `${MACS} 88a8 0005 8100 0006 0800`, Buffer.concat([next(), Buffer.alloc(9)])),
      framed(LINKTYPE.ETHERNET, `${MACS} 0806`, Buffer.alloc(28)),
      framed(LINKTYPE.LINUX_SLL, '0000 0001 0006 02000000000a 0000 0800', next()),
      framed(LINKTYPE.LINUX_SLL2, '0800 0000 00000003 0001 00 06 02000000000a 0000', next()),
      framed(LINKTYPE.NULL, '02000000', next()),
      framed(105, 'd40000', Buffer.alloc(40)),
      { ...raw(cut.subarray(0, 60)), originalLength: cut.length },
      ...fragments(next(), 80).map(raw),
    ])
    const { status, out, err } = await replay(file, '--keys', keys(), '-o', at('inner.pcapng'), '--json')
    expect(err).toBe('')
    expect(status).toBe(0)
    const summary = JSON.parse(out) as Record<string, unknown>
    expect(summary).toMatchObject({
      format: 'pcapng',
      packets: 12,
      accepted: 7,
      acceptedOctets: 7 * INNER.length,
      refused: { 'not-ip': 1, 'unknown-link-type': 1, 'cut-by-capture': 1, 'outer-fragment': 2 },
      reassembled: 1,
      sas: [{ protocol: 'esp', spi: 0x0bad_cafe, packets: 7, errors: 0 }],
    })
    const written = readCapture(readFileSync(at('inner.pcapng')))
    expect(written.map((p) => [p.octets, p.linkType])).toEqual(
      Array.from({ length: 7 }, () => [INNER.toString('hex'), LINKTYPE.RAW]),
    )
    expect(written[1]?.timeNs).toBe(1_700_000_000_000_000_001n)
    // Plain packets are as secret as the keys.
    expect(statSync(at('inner.pcapng')).mode & 0o777).toBe(0o600)
  })

  test('as text, and as pcap', async () => {
    const h = host()
    const spoilt = h.seal(INNER)
    spoilt[70] = spoilt[70]! ^ 1
    const file = capture('wire.pcapng', [raw(h.seal(INNER)), raw(spoilt)])
    const { status, out } = await replay(file, '--keys', keys(), '-o', at('inner.pcap'), '--engine', 'noble')
    expect(status).toBe(0)
    expect(out).toMatch(/^capture +.*wire\.pcapng \(pcapng\): 2 packets/m)
    expect(out).toMatch(/^engine +noble$/m)
    expect(out).toMatch(/^came out +1 packets, 128 B, in .*inner\.pcap$/m)
    expect(out).toMatch(/^took +.* packets\/s, .* Gbit\/s$/m)
    expect(out).toMatch(/^accepted +1$/m)
    expect(out).toMatch(/^bad-icv +1$/m)
    expect(out).toMatch(/^ESP tunnel +0x0badcafe +192\.0\.2\.1 +192\.0\.2\.2 +1 +128 B +1$/m)
    expect(readFileSync(at('inner.pcap')).readUInt32LE(0)).toBe(0xa1b23c4d)
  })

  test('--outbound tells what was protected', async () => {
    const file = capture('wire.pcapng', [raw(host().seal(INNER)), raw(INNER)])
    const { out } = await replay(file, '--keys', keys(), '--outbound', '-o', at('outer.pcapng'))
    expect(out).toMatch(/^protected +1 again, 1 of them as captured; 1 from plain$/m)
    const [again, plain] = readCapture(readFileSync(at('outer.pcapng')))
    // Both are the SA's first packet: the first by the number that it had, the second by ours.
    expect(again!.octets.slice(40)).toBe(plain!.octets.slice(40))
  })

  test('a file cut short: what is whole is replayed, the summary shown, and the end is told with status 2', async () => {
    const h = host()
    const file = capture('wire.pcapng', [raw(h.seal(INNER)), raw(h.seal(INNER))])
    const whole = readFileSync(file)
    writeFileSync(file, whole.subarray(0, whole.length - 50))
    const { status, out, err } = await replay(file, '--keys', keys(), '-o', at('inner.pcapng'))
    expect(status).toBe(2)
    expect(out).toMatch(/^accepted +1$/m)
    expect(err).toMatch(
      /^sallyport: .*wire\.pcapng: packet at octet \d+: the file ends here: .*; the 1 packets in front of it were replayed\n$/,
    )
    expect(readCapture(readFileSync(at('inner.pcapng')))).toHaveLength(1)
  })

  test('lines of the key file that are of no use are told of', async () => {
    writeFileSync(
      at('keys'),
      `"IPv4","1.1.1.1","1.1.1.2","0x00001001","TWOFISH-CBC","0x00","NULL",""\n${formatSallyportSa(keyedSaOf(saSpec('aes128gcm16')))}\n`,
    )
    const { status, err } = await replay(capture('w', [raw(host().seal(INNER))]), '-k', at('keys'))
    expect(status).toBe(0)
    expect(err).toMatch(
      /^sallyport: .*keys, line 1: encryption TWOFISH-CBC is not among ours; passed over\n$/,
    )
  })

  test.each<[string, () => string[], RegExp]>([
    ['no capture', () => [at('none.pcap'), '-k', keys()], /none\.pcap: no such file$/],
    ['a directory', () => [folder, '-k', keys()], /: a directory; give a capture file$/],
    [
      'not a capture',
      () => [keys(), '-k', keys()],
      /keys: magic at octet 0: this is no capture: expected a pcap or pcapng file, not compressed$/,
    ],
    [
      'empty',
      () => [writtenTo('empty', ''), '-k', keys()],
      /empty: capture file at octet 0: the file ends here/,
    ],
    [
      'no key file',
      () => [capture('w', [raw(INNER)]), '-k', at('none')],
      /none: no such file; give keys with --keys FILE$/,
    ],
    [
      'keys that are none',
      () => [capture('w', [raw(INNER)]), '-k', writtenTo('k', 'x\n')],
      /k, line 1: expected esp or ah as the first word$/,
    ],
    ['no --keys', () => [capture('w', [raw(INNER)])], /required option '-k, --keys <path>' not specified/],
    [
      'an engine that is none',
      () => [at('w'), '-k', keys(), '--engine', 'rot13'],
      /--engine <name>.*rot13.*Allowed choices are auto, ipsec-mb, openssl, noble/,
    ],
    [
      'a window that is none',
      () => [at('w'), '-k', keys(), '--replay-window', '33'],
      /multiple of 32 up to 1048576, or 0/,
    ],
    [
      'the capture as output',
      () => [capture('w', [raw(INNER)]), '-k', keys(), '-o', at('w')],
      /w: is the capture itself; give another file with -o$/,
    ],
  ])('%s: one clear line and status 2', async (_name, args, why) => {
    const { status, err } = await replay(...args())
    expect(status).toBe(2)
    expect(err.split('\n')[0]).toMatch(why)
    expect(err).toMatch(/^sallyport: /)
  })

  test('an output that cannot be written: status 1', async () => {
    mkdirSync(at('d'))
    const { status, err } = await replay(capture('w', [raw(INNER)]), '-k', keys(), '-o', at('d/no/where'))
    expect(status).toBe(1)
    expect(err).toMatch(/where: open failed: ENOENT/)
  })

  test('nothing is written when the capture is none', async () => {
    await replay(keys(), '-k', keys(), '-o', at('out'))
    expect(existsSync(at('out'))).toBe(false)
  })
})

function writtenTo(name: string, text: string): string {
  writeFileSync(at(name), text)
  return at(name)
}
