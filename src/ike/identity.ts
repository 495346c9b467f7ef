import { equalOctets, fromHex, hex, utf8 } from '../bytes/octets.js'
import { formatIp, parseIp } from '../wire/ip-address.js'

/** An IKE identity: the type number of RFC 2407 section 4.6.2.1 (equal in RFC 7296 section 3.5) and its octets. */
export interface Identity {
  readonly type: number
  readonly value: Uint8Array
}

export const ID = { IPV4_ADDR: 1, FQDN: 2, USER_FQDN: 3, IPV6_ADDR: 5, KEY_ID: 11 } as const

/**
 * Reads an identity as strongSwan does: an IP address, `user@host`, `@name` or `name` for an FQDN, `keyid:HEX`.
 * Undefined for anything else (empty, blanks, control characters, above 255 octets).
 */
export function parseIdentity(text: string): Identity | undefined {
  const ip = parseIp(text)
  if (ip) return { type: ip.length === 4 ? ID.IPV4_ADDR : ID.IPV6_ADDR, value: ip }
  if (text.startsWith('keyid:')) {
    const digits = text.slice(6)
    if (!/^([0-9a-fA-F]{2}){1,255}$/.test(digits)) return undefined
    return { type: ID.KEY_ID, value: fromHex(digits) }
  }
  const name = text.startsWith('@') ? text.slice(1) : text
  if (!/^[\x21-\x7e]{1,255}$/.test(name)) return undefined
  return { type: !text.startsWith('@') && name.includes('@') ? ID.USER_FQDN : ID.FQDN, value: utf8(name) }
}

/** As `parseIdentity` reads it: a name that would be read as something else, "@10.0.0.1" for example, keeps its @. */
export function formatIdentity(id: Identity): string {
  switch (id.type) {
    case ID.IPV4_ADDR:
    case ID.IPV6_ADDR:
      return id.value.length === 4 || id.value.length === 16
        ? formatIp(id.value)
        : `type ${id.type}:${hex(id.value)}`
    case ID.FQDN: {
      const name = printable(id.value)
      return name.startsWith('@') || parseIdentity(name)?.type !== ID.FQDN ? `@${name}` : name
    }
    case ID.USER_FQDN:
      return printable(id.value)
    case ID.KEY_ID:
      return `keyid:${hex(id.value)}`
    default:
      return `type ${id.type}:${hex(id.value)}`
  }
}

const printable = (octets: Uint8Array): string =>
  [...octets].map((c) => (c > 0x20 && c < 0x7f ? String.fromCharCode(c) : '?')).join('')

export const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.type === b.type && equalOctets(a.value, b.value)
