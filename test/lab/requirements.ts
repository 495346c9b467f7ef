import { existsSync } from 'node:fs'
import { nativeCalls } from '../../src/ffi/koffi.js'
import { libc } from '../../src/ffi/libc.js'
import { openTun } from '../../src/net/tun.js'
import { inside } from './inside.js'
import { addNamespace, deleteNamespaces } from './namespaces.js'
import { SALLYPORT } from './root.js'
import { ipBatch } from './run.js'

/** What the lab may need beyond Linux, root and iproute2. */
export interface Needs {
  readonly tun?: boolean
  /** Other programs, by name. */
  readonly programs?: readonly string[]
}

/** Everything that is missing here, each with what to do about it. Empty: the lab can run. */
export function missingForLab(needs: Needs = {}): string[] {
  if (process.platform !== 'linux') return [`Linux: this system is ${process.platform}`]
  const missing: string[] = []
  const root = process.getuid?.() === 0
  const hasIp = hasProgram('ip')
  if (!root) missing.push('root: network namespaces need it; run as root (sudo)')
  if (!hasIp) missing.push('the program ip: install iproute2')
  const native = nativeCalls()
  if (!native.available) missing.push(`native calls: ${native.reason}`)
  if (root && hasIp) missing.push(...missingInNamespace(needs.tun === true && native.available))
  for (const name of needs.programs ?? []) if (!hasProgram(name)) missing.push(`the program ${name}`)
  if (!existsSync(SALLYPORT)) missing.push('the compiled program: run npm run bootstrap')
  return missing
}

/** A line that says why tests are skipped; undefined when they can run. */
export function whyNoLab(needs: Needs = {}): string | undefined {
  const missing = missingForLab(needs)
  return missing.length === 0 ? undefined : `skipped, missing: ${missing.join('; ')}`
}

export function hasProgram(name: string): boolean {
  return (process.env.PATH ?? '')
    .split(':')
    .some((folder) => folder !== '' && existsSync(`${folder}/${name}`))
}

/** Tries in a namespace of its own what the lab will do in its namespaces. */
function missingInNamespace(tun: boolean): string[] {
  const name = `sally-${process.pid}-probe`
  try {
    addNamespace(name)
  } catch (error) {
    return [`network namespaces: ${(error as Error).message}`]
  }
  const missing: string[] = []
  try {
    ipBatch(name, ['link add probe0 type veth peer name probe1'])
  } catch (error) {
    missing.push(`veth devices: ${(error as Error).message}; they need CAP_NET_ADMIN and the module veth`)
  }
  if (tun) {
    const why = cannotOpenTun(name)
    if (why !== undefined) missing.push(`TUN: ${why}`)
  }
  deleteNamespaces([name])
  return missing
}

function cannotOpenTun(namespace: string): string | undefined {
  try {
    // A device that can be opened need not be one that makes TUN devices: only making one tells.
    inside(namespace, () => libc().close(openTun({ name: 'probe2' }).fd))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
