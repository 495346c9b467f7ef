import { SOCK_CLOEXEC, SOCK_DGRAM } from '../../src/ffi/constants.js'
import { IFNAMSIZ, IFREQ_LEN } from '../../src/ffi/layout/ifreq.js'
import { AF_INET } from '../../src/ffi/layout/sockaddr.js'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory, setWord64 } from '../../src/ffi/native-memory.js'
import { inside } from './inside.js'

// What `ethtool -K DEVICE tx off sg off tso off gso off gro off` does (linux/ethtool.h), without ethtool.
const SIOCETHTOOL = 0x8946
const IFR_DATA = 16
const SETTINGS = {
  'tx checksum': 0x17, // ETHTOOL_STXCSUM
  'scatter-gather': 0x19, // ETHTOOL_SSG
  tso: 0x1f, // ETHTOOL_STSO
  gso: 0x24, // ETHTOOL_SGSO
  gro: 0x2c, // ETHTOOL_SGRO
} as const

/**
 * Switches a device's offloads off, so that its packets look as on a real wire: whole checksums, no packet above the MTU.
 * @returns what the kernel refused, by name; empty when all is off
 */
export function offloadsOff(namespace: string, device: string): string[] {
  return inside(namespace, () => {
    const c = libc()
    const fd = c.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if (fd < 0) throw new Error(`socket: errno ${-fd}`)
    const memory = new NativeMemory(IFREQ_LEN + 8)
    const value = memory.address + IFREQ_LEN
    memory.bytes.set(new TextEncoder().encode(device).subarray(0, IFNAMSIZ - 1))
    setWord64(memory.words, IFR_DATA / 4, value)
    const refused: string[] = []
    for (const [name, command] of Object.entries(SETTINGS)) {
      memory.view.setUint32(IFREQ_LEN, command, true)
      memory.view.setUint32(IFREQ_LEN + 4, 0, true)
      if (c.ioctlPointer(fd, SIOCETHTOOL, memory.bytes) < 0) refused.push(name)
    }
    c.close(fd)
    return refused
  })
}
