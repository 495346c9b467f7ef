// Both ends may begin at once. Each then decides alone, from numbers that both have seen, whose exchange goes on.

/**
 * Of two first exchanges that cross, the one with the lower initiator cookie or SPI goes on; of two IKE SAs that came up
 * at the same time, the same one stays.
 * @param own,other 8 octets each, compared as unsigned numbers
 */
export function goesFirst(own: Uint8Array, other: Uint8Array): boolean {
  for (let i = 0; i < own.length; i++) if (own[i] !== other[i]) return own[i]! < other[i]!
  return false
}
