import { koffi } from '../../src/ffi/koffi.js'

export const CAP_NET_BIND_SERVICE = 10
export const CAP_NET_ADMIN = 12
export const CAP_NET_RAW = 13

const VERSION_3 = 0x20080522

/**
 * Runs `f` while the calling thread lacks the given effective capabilities (capset(2) knows threads, not processes), then
 * gives them back from the permitted set, which is left alone.
 */
export function withoutCapabilities<T>(capabilities: readonly number[], f: () => T): T {
  const c = koffi().load(null)
  const capget = c.func('capget', 'int', ['void *', 'void *'])
  const capset = c.func('capset', 'int', ['void *', 'void *'])
  const header = Uint32Array.of(VERSION_3, 0)
  // Two blocks of effective, permitted, inheritable: capabilities 0..31 and 32..63.
  const before = new Uint32Array(6)
  if (capget(header, before) !== 0) throw new Error('capget failed')
  const lowered = before.slice()
  for (const capability of capabilities) lowered[0] = lowered[0]! & ~(1 << capability)
  if (capset(header, lowered) !== 0) throw new Error('capset failed')
  try {
    return f()
  } finally {
    capset(header, before)
  }
}
