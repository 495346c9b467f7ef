import { readFileSync, writeFileSync } from 'node:fs'
import { SystemError } from '../errors.js'
import { describeErrno } from '../ffi/errno.js'

// Sysctls of the network namespace that the calling thread is in: /proc/sys/net is the reader's own.

/** Reverse path filter (RFC 3704), of a device; the kernel uses the higher of the device's and "all". */
export const RP_FILTER_STRICT = 1
/** A packet is taken when its source can be reached at all, through whatever device. */
export const RP_FILTER_LOOSE = 2

const rpFilterPath = (device: string): string => `/proc/sys/net/ipv4/conf/${device}/rp_filter`

/** Own value of a device, or of `all`; undefined when the device is gone. */
export function readRpFilter(device: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(rpFilterPath(device), 'latin1'), 10)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw sysctlError('open', device, 'read', error)
  }
}

/** The value that holds for a device. */
export function effectiveRpFilter(device: string): number {
  return Math.max(readRpFilter(device) ?? 0, readRpFilter('all') ?? 0)
}

/** @throws SystemError, also when the device is gone */
export function writeRpFilter(device: string, value: number): void {
  try {
    writeFileSync(rpFilterPath(device), `${value}\n`)
  } catch (error) {
    throw sysctlError('open', device, `set to ${value}`, error)
  }
}

/**
 * Keeps the kernel from giving a device an IPv6 link-local address by itself, and from sending router solicitations and
 * multicast reports there. A kernel without IPv6 has nothing to switch off, and a read-only /proc/sys only costs a few
 * packets that no policy covers: neither is an error.
 */
export function noLinkLocalAddress(device: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${device}/addr_gen_mode`, '1\n')
  } catch {
    // See above.
  }
}

function sysctlError(call: string, device: string, what: string, cause: unknown): SystemError {
  const errno = Math.abs((cause as NodeJS.ErrnoException).errno ?? 0)
  const message =
    `cannot ${what}: net.ipv4.conf.${device}.rp_filter: ${errno ? describeErrno(errno) : String(cause)}. The reverse path ` +
    `filter must be loose (2) on ${device}; in a container with read-only /proc/sys, set it from outside`
  return new SystemError(call, errno, message, { cause })
}
