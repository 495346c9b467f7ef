import { afterEach, beforeEach } from 'vitest'
import { Gateway } from '../lab/gateway.js'
import { Lab } from '../lab/lab.js'
import { Libreswan } from './peers/libreswan.js'
import { recordOf } from './recorded-tunnel.js'
import {
  childrenOf,
  of,
  outerOf,
  type Row,
  type SallyportSettings,
  SECRET,
  sallyport,
  type Tunnel,
} from './tunnel.js'

// Tunnels with libreswan (host b), how it is told of them, and the lab of a test.

export const ROWS: readonly Row[] = [
  {
    version: 2,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
  },
  {
    version: 2,
    ike: ['aes256gcm16-prfsha384-ecp384', 'aes_gcm256-sha2_384-dh20'],
    child: ['aes256gcm16-esn', 'aes_gcm256'],
    encapsulation: 'udp',
    outer: 6,
  },
  {
    version: 2,
    ike: ['chacha20poly1305-prfsha256-x25519', 'chacha20_poly1305-sha2_256-dh31'],
    child: ['chacha20poly1305', 'chacha20_poly1305'],
  },
  {
    version: 2,
    ike: ['aes128gcm16-prfsha512-ecp521', 'aes_gcm128-sha2_512-dh21'],
    child: ['aes128ccm16', 'aes_ccm128'],
    mode: 'transport',
    outer: 6,
  },
  {
    version: 2,
    ike: ['aes256-sha512-modp2048', 'aes256-sha2_512-dh14'],
    child: ['sha256', 'sha2_256'],
    protocol: 'ah',
  },
  {
    version: 2,
    ike: ['aes192-sha1-modp4096', 'aes192-sha1-dh16'],
    child: ['aes256-sha512', 'aes256-sha2_512'],
    outer: 6,
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'aes128-sha2_256-dh31'],
    child: ['aes128ccm8', 'aes_ccm_8_128'],
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'aes128-sha2_256-dh31'],
    child: ['null-sha256', 'null-sha2_256'],
    outer: 6,
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'aes128-sha2_256-dh31'],
    child: ['aes128-aesxcbc', 'aes128-aes_xcbc'],
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'aes128-sha2_256-dh31'],
    child: ['sha1', 'sha1'],
    protocol: 'ah',
    outer: 6,
  },
  {
    version: 2,
    ike: ['aes128-sha256-x25519', 'aes128-sha2_256-dh31'],
    child: ['sha512', 'sha2_512'],
    protocol: 'ah',
    mode: 'transport',
  },
  {
    version: 1,
    ike: ['aes128-sha256-modp2048', 'aes128-sha2_256-dh14'],
    child: ['aes128-sha256-modp2048', 'aes128-sha2_256-dh14'],
    outer: 6,
  },
  {
    version: 1,
    ike: ['aes256-sha512-modp3072', 'aes256-sha2_512-dh15'],
    child: ['aes256gcm16', 'aes_gcm256'],
    encapsulation: 'udp',
  },
  {
    version: 1,
    ike: ['aes128-sha1-ecp256', 'aes128-sha1-dh19'],
    child: ['aes128-sha1', 'aes128-sha1'],
    mode: 'transport',
    outer: 6,
  },
  {
    version: 1,
    ike: ['aes192-sha384-modp4096', 'aes192-sha2_384-dh16'],
    child: ['sha256', 'sha2_256'],
    protocol: 'ah',
    mode: 'transport',
  },
  {
    version: 1,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['aes128ccm8', 'aes_ccm_8_128'],
    outer: 6,
  },
  {
    version: 1,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['null-sha256', 'null-sha2_256'],
  },
  {
    version: 1,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['aes128-aesxcbc', 'aes128-aes_xcbc'],
    outer: 6,
  },
  {
    version: 1,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['sha1', 'sha1'],
    protocol: 'ah',
  },
  {
    version: 1,
    ike: ['aes128-sha256-ecp256', 'aes128-sha2_256-dh19'],
    child: ['sha512', 'sha2_512'],
    protocol: 'ah',
    outer: 6,
  },
]

export interface LibreswanOptions {
  /** More lines of the connection. */
  readonly connection?: string
  /** Where it sends to, when that is not sallyport's address. */
  readonly remote?: string
  /** Lines of the section `config setup`. */
  readonly setup?: string
  /** More lines of ipsec.secrets. */
  readonly secrets?: readonly string[]
}

/** The connection `interop`; libreswan is the left one. */
export function libreswanConf(row: Row, { connection = '', remote }: LibreswanOptions = {}): string {
  const { version, ike, child, protocol = 'esp', mode = 'tunnel', encapsulation = 'raw' } = row
  const [us, them] = outerOf(row)
  const [{ hosts, prefix }] = childrenOf(of(row)) as [ReturnType<typeof childrenOf>[number]]
  const subnets = `  leftsubnet=${hosts[1]}/${prefix}\n  rightsubnet=${hosts[0]}/${prefix}\n`
  return `conn interop
  left=${them}
  leftid=${them}
  right=${remote ?? us}
  rightid=${us}
${mode === 'tunnel' ? subnets : ''}  type=${mode}
  authby=secret
  ikev2=${version === 2 ? 'insist' : 'no'}
  ike=${ike[1]}
  phase2=${protocol}
  phase2alg=${child[1]}
  pfs=${child[1].includes('dh') ? 'yes' : 'no'}
  encapsulation=${encapsulation === 'udp' ? 'yes' : 'auto'}
  leftupdown=/bin/true
  auto=add
${connection}`
}

/** The lab of a test with its two daemons, which may be started and ended on their own. */
export class LibreswanLab {
  private current: Lab | undefined
  gateway: Gateway | undefined
  pluto: Libreswan | undefined

  get lab(): Lab {
    if (!this.current) throw new Error('outside of a test')
    return this.current
  }

  async start(
    row: Row,
    theirs: LibreswanOptions = {},
    ours: SallyportSettings = {},
  ): Promise<[Gateway, Libreswan]> {
    const pluto = await this.libreswan(row, theirs)
    return [await this.sallyport(of(row), ours), pluto]
  }

  async libreswan(row: Row, options: LibreswanOptions = {}): Promise<Libreswan> {
    const { lab } = this
    this.pluto = await Libreswan.start(lab.namespace('b'), lab.path('pluto'), {
      connections: libreswanConf(row, options),
      secrets: [`%any : PSK "${SECRET}"`, ...(options.secrets ?? [])],
      setup: options.setup ?? '',
      record: recordOf(lab),
    })
    return this.pluto
  }

  async sallyport(t: Tunnel, settings: SallyportSettings = {}): Promise<Gateway> {
    this.gateway = await Gateway.start(this.lab, 'a', sallyport(this.lab, t, settings))
    return this.gateway
  }

  async open(): Promise<void> {
    this.current = await Lab.create({ wire: 'cable' })
  }

  async close(): Promise<void> {
    await this.gateway?.stop()
    await this.pluto?.stop()
    this.gateway = undefined
    this.pluto = undefined
    this.current?.close()
    this.current = undefined
  }
}

/** Within a `describe`: a lab for each of its tests. */
export function libreswanLab(): LibreswanLab {
  const lab = new LibreswanLab()
  beforeEach(() => lab.open())
  afterEach(() => lab.close())
  return lab
}
