import { readFileSync, statSync } from 'node:fs'
import { SystemError } from '../errors.js'
import { EPERM } from '../ffi/errno.js'

/** Bits of the capability sets (linux/capability.h). */
const CAPABILITIES = {
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
} as const
type Capability = keyof typeof CAPABILITIES

const ENOENT = 2
const TUN_PATH = '/dev/net/tun'
const IKE_PORT = 500

/**
 * Looks whether the process may do what a gateway does, before it does any of it.
 * @throws SystemError that names what is missing
 */
export function checkPrivileges(): void {
  const missing = missingCapabilities(
    readFileSync('/proc/self/status', 'latin1'),
    firstUnprivilegedPort() > IKE_PORT,
  )
  if (missing.length > 0)
    throw new SystemError(
      'capget',
      EPERM,
      `${missing.join(' and ')} missing, needed for the TUN device, routes and IPsec sockets; run as root, or give them to the service (AmbientCapabilities=${missing.join(' ')})`,
    )
  checkTun()
}

/**
 * @param status text of /proc/self/status
 * @param lowPorts the IKE port is one that only CAP_NET_BIND_SERVICE can bind
 */
export function missingCapabilities(status: string, lowPorts: boolean): Capability[] {
  const m = /^CapEff:\s*([0-9a-fA-F]+)$/m.exec(status)
  const effective = BigInt(`0x${m?.[1] ?? '0'}`)
  const needed: Capability[] = ['CAP_NET_ADMIN', 'CAP_NET_RAW']
  if (lowPorts) needed.push('CAP_NET_BIND_SERVICE')
  return needed.filter((name) => ((effective >> BigInt(CAPABILITIES[name])) & 1n) === 0n)
}

function firstUnprivilegedPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'))
  } catch {
    return 1024
  }
}

function checkTun(): void {
  let good = false
  try {
    good = statSync(TUN_PATH).isCharacterDevice()
  } catch {
    // Told below.
  }
  if (!good)
    throw new SystemError(
      'open',
      ENOENT,
      `${TUN_PATH} is missing, so no TUN device can be made; run: modprobe tun (in a container: give it the device)`,
    )
}
