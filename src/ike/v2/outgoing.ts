/** A message of ours as it goes out, and as it is repeated: in one datagram, or in one for each fragment (RFC 7383). */
export interface Outgoing {
  readonly datagrams: readonly Uint8Array[]
  /**
   * The same message in datagrams that every way carries, for a peer that stays silent (RFC 7383 section 2.5.2); absent where
   * these are as small, or where the peer takes no fragments.
   */
  readonly smaller?: () => Outgoing
}

export const whole = (message: Uint8Array): Outgoing => ({ datagrams: [message] })
