import { z } from 'zod'
import { parsePublicKey } from '../../ike/host-identity.js'
import { parseIdentity } from '../../ike/identity.js'
import { REPLAY_WINDOW_MAX } from '../../ipsec/replay-window.js'
import { LANES_MAX } from '../../sadb/lane-policy.js'
import {
  DEVICE_EXPECTED,
  DEVICE_PATTERN,
  hasHostBits,
  parseDuration,
  parseInterfaceAddress,
  parseSize,
  parseUnicast,
} from './fields.js'
import { flag, integer, list, mapping, named, oneOf, privateText, text } from './schema-types.js'
import { parseSelector, SELECTOR_EXPECTED } from './selectors.js'

// The configuration file, section by section. Every default stands here. What needs more than one value to be judged is
// judged in peers.ts, manual.ts and cross-checks.ts.

export const DEFAULT_CONTROL = '/run/sallyport.vici'
export const DEFAULT_STATE = '/var/lib/sallyport'
/** sun_path of a unix socket address has 108 octets with the closing zero. */
const SOCKET_PATH_MAX = 107
const PEERS_MAX = 1000
const CHILDREN_MAX = 64
const DAY = 86_400
/** Smaller ones would be more headers than message. */
const FRAGMENT_SIZE_MIN = 256

const identity = () =>
  text('an identity: a host name, user@host, an IP address or keyid:HEX', (v) => parseIdentity(v))

const absolutePath = (max: number) =>
  text(`an absolute path of at most ${max} octets`, (v) =>
    v.startsWith('/') && !v.includes('\0') && Buffer.byteLength(v) <= max ? v : undefined,
  )

/** A path to a file of keys. Whoever writes the key itself here by mistake shall not find it in a log. */
const keyPath = () =>
  privateText('the path of a key file (the key itself never stands in the configuration)', (v) =>
    v !== '' &&
    v.length <= 1024 &&
    !/\p{Cc}|\s:|:\s/u.test(v) &&
    !/^0[xs]/i.test(v) &&
    !/[0-9a-fA-F]{32}/.test(v) &&
    !/[A-Za-z0-9+]{40}/.test(v)
      ? v
      : undefined,
  )

const duration = (min: number, max: number, range: string) =>
  text(`a duration ${range}, such as 30s, 10m, 8h or 1d`, (v) => {
    const seconds = parseDuration(v)
    return seconds !== undefined && seconds >= min && seconds <= max ? seconds : undefined
  })

const underlay = () => text('an IP address of the underlay (a unicast one, no name)', (v) => parseUnicast(v))

const selector = () =>
  z.unknown().transform((value, context) => {
    const parsed = typeof value === 'string' ? parseSelector(value) : undefined
    if (parsed) return parsed
    const hint =
      typeof value === 'string' && hasHostBits(value)
        ? `${value} has bits set behind its prefix length; expected ${SELECTOR_EXPECTED}`
        : `expected ${SELECTOR_EXPECTED}, found ${typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : 'no text'}`
    context.issues.push({ code: 'custom', message: hint, input: value })
    return z.NEVER
  })

const hostSchema = mapping({
  id: identity().optional(),
  identity: keyPath().optional(),
  public_keys: keyPath().optional(),
  state: absolutePath(1024).prefault(DEFAULT_STATE),
  control: absolutePath(SOCKET_PATH_MAX).prefault(DEFAULT_CONTROL),
})

const tunSchema = mapping({
  name: text(DEVICE_EXPECTED, (v) => (DEVICE_PATTERN.test(v) ? v : undefined)).prefault('sally0'),
  addresses: list(
    text('an address with its prefix length, such as 10.88.1.1/24', (v) => parseInterfaceAddress(v)),
    0,
    16,
    'addresses',
  ).prefault([]),
  mtu: z
    .unknown()
    .transform((value, context): number | 'auto' => {
      if (value === 'auto') return value
      if (typeof value === 'number' && Number.isInteger(value) && value >= 576 && value <= 65_535)
        return value
      context.issues.push({
        code: 'custom',
        message: 'expected auto, or a whole number from 576 to 65535',
        input: value,
      })
      return z.NEVER
    })
    .prefault('auto'),
})

const logSchema = mapping({
  level: oneOf('trace', 'debug', 'info', 'warn', 'error').prefault('info'),
  format: oneOf('auto', 'json', 'pretty').prefault('auto'),
})

const dataplaneSchema = mapping({
  engine: oneOf('auto', 'ipsec-mb', 'openssl', 'noble').prefault('auto'),
  fwmark: integer(1, 0xffff_ffff, 'a mark from 1 to 0xffffffff').prefault(0x5a11),
  // 253 to 255 are the kernel's own tables: default, main, local.
  table: integer(256, 0xffff_fffe, 'the number of a free routing table, 256 or higher').prefault(23_057),
  lanes: z
    .union([z.literal('auto'), integer(1, LANES_MAX, `auto, or a whole number from 1 to ${LANES_MAX}`)], {
      error: `expected auto, or a whole number from 1 to ${LANES_MAX}`,
    })
    .prefault('auto'),
  offload: mapping({
    tun: oneOf('auto', 'uso', 'tso', 'checksum', 'none', 'off').prefault('auto'),
    udp_gso: flag().prefault(true),
    udp_gro: flag().prefault(true),
    join_tcp: flag().prefault(true),
    join_udp: flag().prefault(true),
    raw_direct: flag().prefault(true),
  }).prefault({}),
})

const keyLogSchema = mapping({ directory: absolutePath(1024) })

export const rootSchema = mapping({
  host: hostSchema.prefault({}),
  tun: tunSchema.prefault({}),
  log: logSchema.prefault({}),
  dataplane: dataplaneSchema.prefault({}),
  key_log: keyLogSchema.optional(),
  peers: named('peers, each under its name').refine(
    (peers) => Object.keys(peers).length >= 1 && Object.keys(peers).length <= PEERS_MAX,
    { error: `expected 1 to ${PEERS_MAX} peers` },
  ),
})

export const peerSchema = mapping({
  id: identity().optional(),
  local_id: identity().optional(),
  local: underlay(),
  remote: underlay(),
  auth: oneOf('psk', 'pubkey').optional(),
  key_file: keyPath().optional(),
  public_key: text(
    'a public key, which sallyport identity show prints, or the line of an Ed25519 key in PEM',
    (v) => parsePublicKey(v),
  ).optional(),
  dynamic_psk: oneOf('hardened', 'classic', 'off').prefault('hardened'),
  ppk: mapping({
    id: text('a name of 1 to 64 characters that both ends give this key', (v) =>
      v.length >= 1 && v.length <= 64 ? v : undefined,
    ),
    key_file: keyPath(),
    required: flag().prefault(true),
  }).optional(),
  ike: mapping({
    version: integer(1, 2, '1 or 2').prefault(2),
    proposals: list(
      text('a proposal such as aes128-sha256-modp2048', (v) => v),
      1,
      16,
      'proposals',
    ).optional(),
    lifetime: duration(10, 30 * DAY, 'from 10s to 30d').prefault('8h'),
    dpd: z
      .union([z.literal('off').transform(() => 0), duration(1, DAY, 'from 1s to 1d, or off')], {
        error: 'expected off, or a duration from 1s to 1d, such as 30s',
      })
      .prefault('30s'),
    fragment_size: z
      .union([
        z.literal('off').transform(() => 0),
        integer(FRAGMENT_SIZE_MIN, 65_535, `from ${FRAGMENT_SIZE_MIN} to 65535 octets, or off`),
      ])
      .prefault(1280),
  }).prefault({}),
  encapsulation: oneOf('auto', 'udp', 'raw').prefault('auto'),
  children: named('children, each under its name').refine(
    (children) => Object.keys(children).length >= 1 && Object.keys(children).length <= CHILDREN_MAX,
    { error: `expected 1 to ${CHILDREN_MAX} children` },
  ),
})

/** One of some words, or a number of octets. */
const octetsOr = <T extends string>(words: readonly [T, ...T[]], min: number, max: number) =>
  z.unknown().transform((value, context): T | number => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    const word = words.find((w) => w === value)
    if (word !== undefined) return word
    const message = `expected ${words.join(' or ')}, or octets from ${min} to ${max}`
    context.issues.push({ code: 'custom', message, input: value })
    return z.NEVER
  })

const manualSchema = mapping({
  direction: oneOf('outbound', 'inbound'),
  spi: integer(256, 0xffff_ffff, 'an SPI from 256 to 0xffffffff (RFC 4303 reserves 0 to 255)'),
  algorithms: text('algorithms such as aes128-sha256 (ESP) or sha256 (AH)', (v) => v),
  keys_file: keyPath(),
})

export const childSchema = mapping({
  protocol: oneOf('esp', 'ah').prefault('esp'),
  mode: oneOf('tunnel', 'transport').prefault('tunnel'),
  local: list(selector(), 1, 16, 'traffic selectors'),
  remote: list(selector(), 1, 16, 'traffic selectors'),
  proposals: list(
    text('a proposal such as aes128gcm16', (v) => v),
    1,
    16,
    'proposals',
  ).optional(),
  lifetime: mapping({
    time: duration(5, 7 * DAY, 'from 5s to 7d').prefault('1h'),
    bytes: text('a size of at least 1MiB, such as 500MiB or 64GiB', (v) => {
      const octets = parseSize(v)
      return octets !== undefined && octets >= 2 ** 20 ? octets : undefined
    }).optional(),
    packets: integer(1000, 2 ** 48).optional(),
  }).prefault({}),
  replay_window: z
    .unknown()
    .transform((value, context): number => {
      if (typeof value === 'number' && value >= 32 && value <= REPLAY_WINDOW_MAX && value % 32 === 0)
        return value
      const message = `expected a multiple of 32 from 32 to ${REPLAY_WINDOW_MAX}, in packets`
      context.issues.push({ code: 'custom', message, input: value })
      return z.NEVER
    })
    .prefault(4096),
  start: oneOf('trap', 'start').prefault('trap'),
  df: oneOf('copy', 'set', 'clear').prefault('copy'),
  copy_dscp: oneOf('out', 'in', 'both', 'off').prefault('out'),
  copy_ecn: flag().prefault(true),
  mss: octetsOr(['auto', 'off'], 536, 65_495).prefault('auto'),
  dummy_rate: integer(0, 1_000, 'dummy packets a second, from 0 to 1000').prefault(0),
  tfc_padding: octetsOr(['mtu', 'off'], 64, 65_535).prefault('off'),
  manual: list(manualSchema, 2, 2, 'SAs, one outbound and one inbound').optional(),
})

export type RootSection = z.output<typeof rootSchema>
export type PeerSection = z.output<typeof peerSchema>
export type ChildSection = z.output<typeof childSchema>
export type ManualSection = z.output<typeof manualSchema>
