import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { nativeCalls } from '../../src/ffi/koffi.js'
import { SALLYPORT } from './root.js'

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
  if (!root) missing.push('root: network namespaces need it; run as root (sudo)')
  if (!hasProgram('ip')) missing.push('the program ip: install iproute2')
  else if (root) {
    const why = cannotMakeNamespaces()
    if (why) missing.push(`network namespaces: ${why}`)
  }
  const native = nativeCalls()
  if (!native.available) missing.push(`native calls: ${native.reason}`)
  if (needs.tun === true && root) {
    const why = cannotOpenTun()
    if (why) missing.push(`TUN: ${why}`)
  }
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
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return places.some((place) => existsSync(`${place}/${name}`))
}

function cannotMakeNamespaces(): string | undefined {
  const name = `sally-${process.pid}-probe`
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' })
  spawnSync('ip', ['netns', 'delete', name])
  return made.status === 0 ? undefined : made.stderr.trim()
}

function cannotOpenTun(): string | undefined {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'))
    return undefined
  } catch (error) {
    return `${(error as Error).message}; load the module tun, or give the container the device`
  }
}
