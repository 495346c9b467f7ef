import { childrenOf, of, outerOf, type Row, SECRET } from './tunnel.js'

// Tunnels with OpenIKED, and how it is told of them.

// Debian's build installs no AES-GCM, no HMAC-SHA2-256 and no extended sequence numbers on Linux.
export const ROWS: readonly Row[] = [
  {
    version: 2,
    ike: ['aes128-sha256-ecp256', 'auth hmac-sha2-256 enc aes-128 prf hmac-sha2-256 group ecp256'],
    child: ['aes128-sha1', 'auth hmac-sha1 enc aes-128'],
  },
  {
    version: 2,
    outer: 6,
    ike: ['aes256-sha384-modp2048', 'auth hmac-sha2-384 enc aes-256 prf hmac-sha2-384 group modp2048'],
    child: ['aes192-sha384', 'auth hmac-sha2-384 enc aes-192'],
  },
  {
    version: 2,
    ike: ['aes128gcm16-prfsha256-x25519', 'enc aes-128-gcm prf hmac-sha2-256 group curve25519'],
    child: ['aes256-sha1', 'auth hmac-sha1 enc aes-256'],
  },
  {
    version: 2,
    outer: 6,
    ike: ['aes256gcm16-prfsha512-ecp521', 'enc aes-256-gcm prf hmac-sha2-512 group ecp521'],
    child: ['aes256-sha512', 'auth hmac-sha2-512 enc aes-256'],
    mode: 'transport',
  },
  {
    version: 2,
    ike: ['aes128-sha1-ecp384', 'auth hmac-sha1 enc aes-128 prf hmac-sha1 group ecp384'],
    child: ['sha384', 'auth hmac-sha2-384'],
    protocol: 'ah',
  },
  {
    version: 2,
    outer: 6,
    ike: ['aes192-sha512-modp3072', 'auth hmac-sha2-512 enc aes-192 prf hmac-sha2-512 group modp3072'],
    child: ['sha1', 'auth hmac-sha1'],
    protocol: 'ah',
    mode: 'transport',
  },
  {
    version: 2,
    ike: ['aes256-sha1-modp4096', 'auth hmac-sha1 enc aes-256 prf hmac-sha1 group modp4096'],
    child: ['aes128ctr-sha384', 'auth hmac-sha2-384 enc aes-128-ctr'],
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'auth hmac-sha2-256 enc aes-128 prf hmac-sha2-256 group curve25519'],
    child: ['aes128-sha512', 'auth hmac-sha2-512 enc aes-128'],
    encapsulation: 'udp',
    outer: 6,
  },
]

export interface IkedOptions {
  /** It begins, and does so at once. */
  readonly active?: boolean
  /** More of its connection. */
  readonly connection?: string
  /** Lines before it. */
  readonly settings?: string
  /** Where it sends to, when that is not sallyport's address. */
  readonly remote?: string
}

/** Its iked.conf. */
export function openikedConf(row: Row, options: IkedOptions = {}): string {
  const { active = false, connection = '', settings = '', remote } = options
  const { ike, child, protocol = 'esp', mode = 'tunnel' } = row
  const [{ hosts }] = childrenOf(of(row)) as [ReturnType<typeof childrenOf>[number]]
  const [us, them] = outerOf(row)
  return (
    `${settings}\nikev2 "interop" ${active ? 'active' : 'passive'} ${mode} ${protocol} from ${hosts[1]} to ${hosts[0]} ` +
    `local ${them} peer ${remote ?? us} ikesa ${ike[1]} childsa ${child[1]} srcid ${them} dstid ${us} ${connection} ` +
    `psk "${SECRET}"\n`
  )
}
