import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex } from '../../../src/bytes/octets.js'
import { parseManualKeys, wipeManualKeys } from '../../../src/daemon/config/manual-keys.js'
import { PSK_MAX, PSK_MIN, parsePskFile } from '../../../src/daemon/config/psk-file.js'
import { decodeBase64, secretLines, secretWords } from '../../../src/daemon/config/secret-text.js'
import { NetworkJournal } from '../../../src/daemon/network-journal.js'
import { FileTimestampStore } from '../../../src/daemon/timestamp-store.js'
import { ConfigError, WireError } from '../../../src/errors.js'
import {
  forgetIdentity,
  formatIdentityFile,
  identityFromWords,
  parsePublicKey,
} from '../../../src/ike/host-identity.js'
import { formatKeyText, parseKeyText } from '../../../src/ike/prephase/key.js'
import { formatEspSa, parseEspSa } from '../../../src/replay/keys/esp-sa.js'
import { keyedSaOf } from '../../../src/replay/keys/keyed-sa.js'
import { formatSallyportSa, parseSallyportSa } from '../../../src/replay/keys/sallyport-sa.js'
import { parsePrefix } from '../../../src/wire/ip-address.js'
import { CaptureReader } from '../../../src/wire/pcap/capture-reader.js'
import { PcapngWriter, PcapWriter } from '../../../src/wire/pcap/capture-writer.js'
import { CAPTURED_MAX } from '../../../src/wire/pcap/captured-packet.js'
import { ipOffset, LINKTYPE } from '../../../src/wire/pcap/link-layer.js'
import { SUITES, saSpec, udpPacket } from '../../unit/ipsec/fixtures.js'
import { sourceOf } from '../../unit/wire/capture-source.js'
import { mutateOctets } from '../mutate/octets.js'
import { mutateText } from '../mutate/text.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What outlives the daemon and is read at its start. */
export const STATE_FILES: Target = {
  name: 'state-files',
  about: 'timestamps of the pre-phase and the journal of network settings, damaged',
  weight: 0.5,
  prepare() {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-fuzz-'))
    const store = FileTimestampStore.open(folder)
    const label = Uint8Array.of(0x40, 0, 0, 0, 0x68, 0x4e, 0xe1, 0x8b, 0, 0, 0, 1)
    store.setLastSent('dom0-b.0123456789abcdef', label)
    store.setLastAccepted('dom0-b.0123456789abcdef', label)
    const record = join(folder, 'timestamps', 'dom0-b.0123456789abcdef.json')
    const journal = new NetworkJournal(folder, 'sally0')
    journal.write({
      filters: ['sallyport_sally0'],
      blackholes: [{ destination: parsePrefix('10.88.2.0/24')!, table: 254 }],
      rules: [{ family: 4, mark: 1, table: 200, priority: 100 }],
      rpFilter: new Map([['eth0', 1]]),
    })
    const texts = [readText(record), readText(journal.path)]
    return {
      run(random, trace) {
        const damaged = mutateText(random, random.pick(texts), texts)
        trace.input(damaged)
        writeFileSync(record, damaged, { mode: 0o600 })
        const opened = trace.parse('timestamps', ConfigError, () => FileTimestampStore.open(folder))
        if (opened !== undefined) {
          const sent = opened.lastSent('dom0-b.0123456789abcdef')
          must(sent === undefined || hex(sent) === hex(label), 'a damaged label is believed')
        }
        writeFileSync(journal.path, damaged, { mode: 0o600 })
        const lasting = journal.read()
        trace.outcome(lasting === undefined ? 'no journal' : 'a journal')
        for (const name of lasting?.filters ?? []) must(typeof name === 'string', 'a filter that is no text')
        unlinkSync(record)
      },
      close: () => rmSync(folder, { recursive: true }),
    }
  },
}

const readText = (path: string): string => readFileSync(path, 'utf8')

const KEY = formatKeyText(new Uint8Array(32).fill(9))
const IDENTITY = formatIdentityFile(new Uint8Array(32).fill(5))
const SECRETS = [
  KEY,
  IDENTITY,
  'psk: correct horse battery staple\n',
  `0x${'ab'.repeat(32)}\n`,
  `0s${Buffer.alloc(32, 3).toString('base64')}\n`,
  `# both hosts\n0x1001 encryption ${'11'.repeat(20)}\n0x1002 integrity ${'22'.repeat(32)}\n`,
  ...Object.keys(SUITES).map((suite) => `${formatSallyportSa(keyedSaOf(saSpec(suite)))}\n`),
  ...['aes128gcm16', 'aes128-sha256', 'null-sha256'].map((s) => `${formatEspSa(keyedSaOf(saSpec(s)))}\n`),
]

/** Files of keys: whatever is said about them, no key is in it. */
export const KEY_FILES: Target = {
  name: 'key-files',
  about: 'pre-shared keys, manual keys, identities and the lines of key logs',
  prepare() {
    return {
      run(random, trace) {
        const text = mutateText(random, random.pick(SECRETS), SECRETS)
        const octets = random.oneIn(4) ? mutateOctets(random, utf8(text)) : utf8(text)
        trace.input(octets)
        const psk = parsePskFile(octets.slice())
        if (typeof psk === 'string') must(psk.length < 200, `said: ${psk}`)
        else must(psk.length >= PSK_MIN && psk.length <= PSK_MAX, `a key of ${psk.length} octets`)
        trace.outcome(typeof psk === 'string' ? 'no key' : 'a key')
        const key = trace.parse('K_ab', ConfigError, () => parseKeyText(octets))
        must(key === undefined || key.length === 32, 'K_ab of another length')
        const manual = parseManualKeys(octets.slice())
        if (typeof manual === 'string') must(manual.length < 200, `said: ${manual}`)
        else wipeManualKeys(manual)
        for (const line of secretLines(octets)) {
          const words = secretWords(line.octets)
          const identity = trace.parse('identity', ConfigError, () => identityFromWords(words, decodeBase64))
          if (identity !== undefined) forgetIdentity(identity)
        }
        for (const line of text.split('\n').slice(0, 8)) {
          for (const parse of [parseEspSa, parseSallyportSa]) {
            const result = parse(line.trim())
            const said = typeof result === 'string' ? result : 'skipped' in result ? result.skipped : ''
            must(said.length < 1_000, `said: ${said}`)
          }
          parsePublicKey(line)
        }
      },
    }
  },
}

/** Captures that somebody gave us to replay. */
export const CAPTURES: Target = {
  name: 'captures',
  about: 'pcap and pcapng files in any pieces',
  prepare() {
    const corpus = [true, false].map((ng) => {
      const pieces: Buffer[] = []
      const sink = (b: Uint8Array): void => void pieces.push(Buffer.from(b))
      const links = [LINKTYPE.RAW, LINKTYPE.ETHERNET, LINKTYPE.LINUX_SLL2]
      const writer = ng
        ? new PcapngWriter(
            sink,
            links.map((linkType) => ({ name: 'x', linkType })),
          )
        : new PcapWriter(sink, LINKTYPE.RAW)
      for (let i = 0; i < 4; i++) {
        const p = udpPacket('10.1.0.1', '10.2.0.1', 10 * i)
        writer.packet(ng ? i % 3 : 0, 1_000_000_000n * BigInt(i), p, 0, p.length, p.length)
      }
      writer.flush()
      return Uint8Array.from(Buffer.concat(pieces))
    })
    return {
      run(random, trace) {
        const file = mutateOctets(random, random.pick(corpus), corpus)
        trace.input(file)
        trace.parse('capture', WireError, () => {
          const reader = new CaptureReader(sourceOf(file, 1 + random.length(4_096)))
          let n = 0
          while (reader.next()) {
            const { bytes, at, length, linkType, offset } = reader.packet
            must(length <= CAPTURED_MAX && at + length <= bytes.length, `a packet of ${length} octets`)
            must(offset < file.length, 'a packet behind the end')
            must(ipOffset(linkType, bytes, at, length) <= length, 'an IP packet outside of its frame')
            must(++n <= file.length / 12, 'packets from nowhere')
          }
          trace.value(n)
        })
      },
    }
  },
}

export const files: readonly Target[] = [STATE_FILES, KEY_FILES, CAPTURES]
