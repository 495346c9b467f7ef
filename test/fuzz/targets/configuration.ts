import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDuration, parseInterfaceAddress, parseSize } from '../../../src/daemon/config/fields.js'
import { parseConfig, wipeConfig } from '../../../src/daemon/config/load.js'
import { ConfigFileError, PROBLEMS_MAX } from '../../../src/daemon/config/problems.js'
import { parseSelector } from '../../../src/daemon/config/selectors.js'
import { SallyportError } from '../../../src/errors.js'
import { formatIdentity, parseIdentity } from '../../../src/ike/identity.js'
import { formatKeyText } from '../../../src/ike/prephase/key.js'
import {
  formatChildProposal,
  formatIkeProposal,
  parseChildProposal,
  parseIkeProposal,
} from '../../../src/ike/proposals.js'
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../../../src/wire/ip-address.js'
import { formatSelector, parseFormattedSelector } from '../../../src/wire/traffic-selector.js'
import { exampleConfig } from '../corpus.js'
import { mutateText } from '../mutate/text.js'
import { Random } from '../random.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

const EXAMPLES = [
  'paper.yaml',
  'manual-sas.yaml',
  'three-host-pool.yaml',
  'transparent-ah-transport.yaml',
  'two-host-esp-tunnel.a.yaml',
].map(exampleConfig)
/** Comments make the most of an example and nothing of what is read. */
const corpus = EXAMPLES.map((text) => text.replace(/^\s*#.*\n/gm, '').replace(/\s+#.*$/gm, '')).map((text) =>
  text.replace(/key_file: .*/g, 'key_file: fuzz.key').replace(/keys_file: [^ ,}]+/g, 'keys_file: manual.key'),
)

const MANUAL = [0x1001, 0x1002]
  .map((spi) => `${spi} encryption ${'1f'.repeat(16)}\n${spi} integrity ${'2e'.repeat(32)}\n`)
  .join('')

export const CONFIGURATION: Target = {
  name: 'configuration',
  about: 'configuration files: YAML, schema, cross checks, and what is said about their faults',
  prepare() {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-fuzz-'))
    const file = join(folder, 'fuzz.yaml')
    writeFileSync(join(folder, 'fuzz.key'), formatKeyText(Random.of(1, 'key', 1).octets(32)), { mode: 0o600 })
    writeFileSync(join(folder, 'manual.key'), MANUAL, { mode: 0o600 })
    return {
      run(random, trace) {
        const text = mutateText(random, random.pick(corpus), corpus)
        trace.input(text)
        try {
          wipeConfig(parseConfig(file, text))
          trace.outcome('taken')
        } catch (error) {
          if (!(error instanceof ConfigFileError)) throw error
          must(
            error.problems.length > 0 && error.problems.length <= PROBLEMS_MAX + 1,
            `${error.problems.length} problems`,
          )
          const lines = text.split('\n').length
          for (const p of error.problems) {
            must(p.line >= 1 && p.line <= lines + 1, `a problem in line ${p.line} of ${lines}`)
            must(!p.message.includes('\n') && p.message.length < 2_000, `said: ${p.message}`)
            must(
              !/\[object Object\]|undefined|NaN/.test(p.message) || /undefined|nan/i.test(text),
              `said: ${p.message}`,
            )
          }
          trace.outcome('refused')
        }
      },
      close: () => rmSync(folder, { recursive: true }),
    }
  },
}

const WORDS = [
  'aes256gcm16-prfsha384-ecp384',
  'aes128-sha256-x25519',
  'aes128gcm16-x25519-esn',
  'aes256-sha512-modp4096-noesn',
  'chacha20poly1305-prfsha256-x25519',
  'aes128ccm8-ecp256',
  'null-sha1',
  'sha256-x25519',
  'aes128gmac',
  '10.88.1.0/24',
  '10.88.1.1',
  'fd00:1::/64[tcp/443]',
  '10.88.0.0/16[udp]',
  '10.0.0.1-10.0.0.9',
  '::ffff:192.0.2.1',
  '2001:db8::1/64',
  'dom0-a.example',
  'user@example.org',
  '@#0102030405',
  '1h30m',
  '90s',
  '10GiB',
  '2001:db8:0:0:1::1',
]

/** @throws Finding unless the text that comes of a value is read as the same value */
function back<T>(
  value: T | undefined,
  format: (v: T) => string,
  parse: (text: string) => T | undefined,
): void {
  if (value === undefined) return
  const text = format(value)
  const again = parse(text)
  must(again !== undefined && format(again) === text, `${text} is read as ${again && format(again)}`)
}

export const SHORT_TEXTS: Target = {
  name: 'short-texts',
  about: 'proposals, addresses, selectors, identities, durations and sizes',
  prepare() {
    return {
      run(random, trace) {
        const text = mutateText(random, random.pick(WORDS), WORDS).slice(0, random.oneIn(50) ? 16_384 : 200)
        trace.input(text)
        const ike = trace.parse('IKE proposal', SallyportError, () => parseIkeProposal(text))
        back(ike, formatIkeProposal, parseIkeProposal)
        for (const protocol of ['esp', 'ah'] as const) {
          const child = trace.parse(protocol, SallyportError, () => parseChildProposal(protocol, text))
          back(child, formatChildProposal, (t) => parseChildProposal(protocol, t))
        }
        back(parseIp(text), formatIp, parseIp)
        back(parsePrefix(text), formatPrefix, parsePrefix)
        back(parseSelector(text), formatSelector, parseFormattedSelector)
        parseFormattedSelector(text)
        parseInterfaceAddress(text)
        back(parseIdentity(text), formatIdentity, parseIdentity)
        for (const n of [parseDuration(text), parseSize(text)])
          must(n === undefined || (Number.isSafeInteger(n) && n >= 0), `${n}`)
      },
    }
  },
}

export const configuration: readonly Target[] = [CONFIGURATION, SHORT_TEXTS]
