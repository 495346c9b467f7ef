import { readFileSync } from 'node:fs'
import { SystemError } from '../errors.js'
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../ffi/constants.js'
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENXIO, EPERM } from '../ffi/errno.js'
import {
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TUN,
  IFF_TUN_EXCL,
  IFF_VNET_HDR,
  IFNAMSIZ,
  IFR_FLAGS,
  IFREQ_LEN,
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
} from '../ffi/layout/ifreq.js'
import { libc } from '../ffi/libc.js'
import { VNET_HDR_LEN } from '../wire/virtio-net-hdr.js'
import { systemError } from './system-error.js'

const TUN_PATH = '/dev/net/tun'

/**
 * How much the device may leave to its reader, from all to nothing. `none` still has the vnet header, which writes of
 * joined segments need; `off` has no vnet header: a packet is a packet.
 */
export type TunOffload = 'uso' | 'tso' | 'checksum' | 'none' | 'off'

const CHECKSUM = TUN_F_CSUM
const TSO = CHECKSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
// The kernel takes the two USO bits only together (drivers/net/tun.c).
const USO = TSO | TUN_F_USO4 | TUN_F_USO6

const LADDER: readonly { readonly level: TunOffload; readonly bits: number }[] = [
  { level: 'uso', bits: USO },
  { level: 'tso', bits: TSO },
  { level: 'checksum', bits: CHECKSUM },
  { level: 'none', bits: 0 },
]

export interface TunOptions {
  /** Name of the device: 1 to 15 octets without '/', '%', ':' or white space. */
  readonly name: string
  /** The highest level to ask for; the kernel may grant a lower one. Default `uso`. */
  readonly offload?: TunOffload
  /** Queues, each with a descriptor of its own: 1 (the default) to TUN_QUEUES_MAX. */
  readonly queues?: number
}

/** The kernel's MAX_TAP_QUEUES. */
export const TUN_QUEUES_MAX = 256

/** An open device. It exists as long as one of its descriptors is open. */
export interface OpenTun {
  readonly name: string
  /** Descriptor of the first queue. */
  readonly fd: number
  /** Descriptors of all queues, `fd` first. */
  readonly fds: readonly number[]
  /** Every packet has a virtio_net_hdr of 10 octets in front, in both directions. */
  readonly vnetHeader: boolean
  /** The granted level and its TUN_F_ bits. */
  readonly offload: TunOffload
  readonly offloads: number
}

/**
 * Makes a TUN device that nobody else has. It is down, without address, with the kernel's MTU of 1500.
 * @throws SystemError saying what is missing; no descriptor stays open then
 */
export function openTun(options: TunOptions): OpenTun {
  const { name, offload = 'uso', queues = 1 } = options
  checkName(name)
  if (!Number.isInteger(queues) || queues < 1 || queues > TUN_QUEUES_MAX)
    throw new SystemError(
      'TUNSETIFF',
      EINVAL,
      `a TUN device has 1 to ${TUN_QUEUES_MAX} queues, not ${queues}`,
    )
  const kind = IFF_TUN | IFF_NO_PI | (queues > 1 ? IFF_MULTI_QUEUE : 0)
  const fds: number[] = []
  try {
    const fd = openClone()
    fds.push(fd)
    let vnetHeader = offload !== 'off'
    let r = setIff(fd, name, kind | IFF_TUN_EXCL | (vnetHeader ? IFF_VNET_HDR : 0))
    if (r === -EINVAL && vnetHeader) {
      // Kernels and emulations without vnet headers refuse the unknown flag.
      vnetHeader = false
      r = setIff(fd, name, kind | IFF_TUN_EXCL)
    }
    if (r < 0) throw deviceError(name, -r)
    if (vnetHeader) setHeaderLength(fd, name)
    for (let q = 1; q < queues; q++) {
      const next = openClone()
      fds.push(next)
      const attached = setIff(next, name, kind | (vnetHeader ? IFF_VNET_HDR : 0))
      if (attached < 0)
        throw systemError('TUNSETIFF', -attached, `cannot open queue ${q} of TUN device ${name}`)
    }
    const granted = vnetHeader ? setTunOffload(fd, offload) : { level: 'off' as const, bits: 0 }
    return { name, fd, fds, vnetHeader, offload: granted.level, offloads: granted.bits }
  } catch (error) {
    for (const fd of fds) libc().close(fd)
    throw error
  }
}

/**
 * Asks the device for `wanted` and, as long as the kernel refuses, for the next lower level. What is granted holds for
 * all queues. Lowering the level of a device in use is allowed: packets that wait in its queues are not changed by it.
 * @returns the granted level and its TUN_F_ bits; `none` where the kernel grants nothing
 */
export function setTunOffload(fd: number, wanted: TunOffload): { level: TunOffload; bits: number } {
  const from = LADDER.findIndex((step) => step.level === wanted)
  for (const step of LADDER.slice(from < 0 ? LADDER.length - 1 : from))
    if (libc().ioctlValue(fd, TUNSETOFFLOAD, step.bits) >= 0) return step
  return { level: 'none', bits: 0 }
}

/** Names of the features, as `status` has them, that a rung of the ladder has above the next one. */
const FEATURES: Readonly<Record<TunOffload, string | undefined>> = {
  uso: 'tunUso',
  tso: 'tunTso',
  checksum: 'tunChecksum',
  none: undefined,
  off: undefined,
}

/**
 * One level down from `bits` while the device is in use.
 * @returns the bits now granted, and the feature that is gone; none when there is no lower level
 */
export function lowerTunOffload(fd: number, bits: number): { feature: string | undefined; bits: number } {
  const at = LADDER.findIndex((step) => step.bits === bits)
  const [step, next] = [LADDER[at], LADDER[at + 1]]
  if (!step || !next) return { feature: undefined, bits }
  return { feature: FEATURES[step.level], bits: setTunOffload(fd, next.level).bits }
}

function checkName(name: string): void {
  const length = Buffer.byteLength(name)
  if (length === 0 || length >= IFNAMSIZ || /[\s/%:]/.test(name) || name === '.' || name === '..')
    throw new SystemError(
      'TUNSETIFF',
      EINVAL,
      `"${name}" cannot be the name of a network device: 1 to ${IFNAMSIZ - 1} octets without '/', '%', ':' or white space`,
    )
}

function openClone(): number {
  const fd = libc().open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC)
  if (fd >= 0) return fd
  const errno = -fd
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      throw systemError(
        'open',
        errno,
        `cannot open ${TUN_PATH}: this system has no TUN support`,
        'Load it with "modprobe tun"; in a container, pass the device in (for example --device /dev/net/tun)',
      )
    case EACCES:
    case EPERM:
      throw systemError(
        'open',
        errno,
        `cannot open ${TUN_PATH}: access is refused`,
        'Run as root, or allow character device 10:200 in the device cgroup of the container',
      )
    default:
      throw systemError('open', errno, `cannot open ${TUN_PATH}`)
  }
}

function setIff(fd: number, name: string, flags: number): number {
  const request = Buffer.alloc(IFREQ_LEN)
  request.write(name)
  request.writeUInt16LE(flags, IFR_FLAGS)
  return libc().ioctlPointer(fd, TUNSETIFF, request)
}

function setHeaderLength(fd: number, name: string): void {
  const length = Buffer.alloc(4)
  length.writeInt32LE(VNET_HDR_LEN)
  const r = libc().ioctlPointer(fd, TUNSETVNETHDRSZ, length)
  if (r < 0)
    throw systemError('TUNSETVNETHDRSZ', -r, `cannot set the vnet header length of TUN device ${name}`)
}

function deviceError(name: string, errno: number): SystemError {
  switch (errno) {
    case EBUSY:
      return systemError(
        'TUNSETIFF',
        errno,
        `cannot make TUN device ${name}: a network device of that name exists${owner(name)}`,
        'Another sallyport may be running with this configuration; stop it, or choose another tun.name',
      )
    case EPERM:
      return systemError(
        'TUNSETIFF',
        errno,
        `cannot make TUN device ${name}: CAP_NET_ADMIN is missing`,
        'Run as root, or give the process CAP_NET_ADMIN and CAP_NET_RAW',
      )
    default:
      return systemError('TUNSETIFF', errno, `cannot make TUN device ${name}`)
  }
}

/** What kind of device has the name, as far as the system says. */
function owner(name: string): string {
  try {
    const flags = Number.parseInt(readFileSync(`/sys/class/net/${name}/tun_flags`, 'latin1'), 16)
    return (flags & IFF_TUN) !== 0 ? ' (a TUN device)' : ' (a TAP device)'
  } catch {
    return ''
  }
}
