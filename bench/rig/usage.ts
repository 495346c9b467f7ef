import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Lab, Side } from '../../test/lab/lab.js'

// What processes use, from /proc. A tick of the processor time there is 10 ms on every Linux (USER_HZ).
const TICKS = 100

/** The processes in one network namespace. */
export function processesIn(namespace: string): number[] {
  // The inode of the bind mount is the namespace's own.
  const link = `net:[${statSync(`/run/netns/${namespace}`).ino}]`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readlinkSync(`/proc/${name}/ns/net`) === link
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Processor seconds that the processes and their threads have used, in user and kernel mode. Ended ones count nothing. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    // The name, in parentheses, may have spaces and parentheses in it. Behind it: state is field 3, utime 14, stime 15.
    const fields = read(`/proc/${pid}/stat`)
      ?.replace(/^.*\) /s, '')
      .split(' ')
    if (fields) ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS
}

/** Resident memory of the processes, MiB. */
export function residentMiB(pids: readonly number[]): number {
  let kib = 0
  for (const pid of pids) kib += Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0)
  return kib / 1024
}

/** Descriptors that a process has open. */
export const openDescriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Datagrams that UDP sockets of a host dropped for want of buffer, since the namespace was made. */
export function udpBufferErrors(lab: Lab, side: Side): number {
  const lines = lab.exec(side, 'cat', '/proc/net/snmp').split('\n')
  const [names, values] = lines.filter((l) => l.startsWith('Udp:')).map((l) => l.split(' '))
  return Number(values?.[names?.indexOf('RcvbufErrors') ?? -1] ?? 0)
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return undefined
  }
}
