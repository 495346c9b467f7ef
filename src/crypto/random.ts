import { randomFillSync } from 'node:crypto'

/**
 * Octets from the system's generator, in memory of their own.
 * @param length octets
 * @returns what the caller may wipe without touching anything else
 */
export function random(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length))
}
