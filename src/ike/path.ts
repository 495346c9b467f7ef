import { formatIp, sameIp } from '../wire/ip-address.js'
import type { Endpoint } from './environment.js'

/** The port of IKE, and the one of IKE and ESP behind a NAT (RFC 3947 section 4). */
export const IKE_PORT = 500
export const NAT_T_PORT = 4500

/** Our end and the peer's end of a message's way. */
export interface Path {
  readonly local: Endpoint
  readonly remote: Endpoint
}

/** A copy that does not alias what the caller may reuse. */
export const copyPath = (p: Path): Path => ({
  local: { address: new Uint8Array(p.local.address), port: p.local.port },
  remote: { address: new Uint8Array(p.remote.address), port: p.remote.port },
})

export const sameEndpoint = (a: Endpoint, b: Endpoint): boolean =>
  a.port === b.port && sameIp(a.address, b.address)

export const samePath = (a: Path, b: Path): boolean =>
  sameEndpoint(a.local, b.local) && sameEndpoint(a.remote, b.remote)

/** The same addresses with both ports at 4500, unless we are there already. */
export const floated = (p: Path): Path =>
  p.local.port === NAT_T_PORT
    ? p
    : {
        local: { address: p.local.address, port: NAT_T_PORT },
        remote: { address: p.remote.address, port: NAT_T_PORT },
      }

/** "192.0.2.1:500", "[2001:db8::1]:4500". */
export const formatEndpoint = (e: Endpoint): string =>
  e.address.length === 4 ? `${formatIp(e.address)}:${e.port}` : `[${formatIp(e.address)}]:${e.port}`
