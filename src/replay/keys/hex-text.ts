import { fromHex, hex } from '../../bytes/octets.js'

// Keys as text: only in key files, which are made to hold them.

/** "0x" and hexadecimal digits. */
export const keyText = (key: Uint8Array): string => `0x${hex(key)}`

/** Octets of "0x..." with an even number of digits; undefined when it is none. */
export function keyOctets(text: string): Uint8Array | undefined {
  return /^0[xX](?:[0-9a-fA-F]{2})*$/.test(text) ? fromHex(text.slice(2)) : undefined
}

export const spiText = (spi: number): string => `0x${spi.toString(16).padStart(8, '0')}`

/** "0x" and one to eight digits. */
export const spiOf = (text: string): number | undefined =>
  /^0[xX][0-9a-fA-F]{1,8}$/.test(text) ? Number(text) : undefined
