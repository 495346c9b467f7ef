// Explicit congestion notification in tunnels, RFC 6040. Going in, normal mode copies the inner field (section 4.1), so there is
// nothing to compute. Going out, figure 4 of section 4.2 combines both fields.

const NOT_ECT = 0
const ECT_1 = 1
const CE = 3

/** The two bits of a TOS or traffic class octet. */
export const ECN_MASK = 3

/** The other six (RFC 2474). */
export const DSCP_MASK = 0xfc

/**
 * ECN field of the packet that leaves the tunnel.
 * @param inner TOS or traffic class octet of the inner packet @param outer of the outer one
 * @returns the two bits, or -1 when the packet is to be dropped: congestion was marked, and its ends would not see it
 */
export function decapsulatedEcn(inner: number, outer: number): number {
  const i = inner & ECN_MASK
  const o = outer & ECN_MASK
  if (i === NOT_ECT) return o === CE ? -1 : NOT_ECT
  if (i === CE || o === CE) return CE
  return o === ECT_1 ? ECT_1 : i
}
