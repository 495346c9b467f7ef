import type { SaProtocol } from '../sadb/sa-spec.js'

// Proposals by IANA IKEv2 transform ids, written as strongSwan writes them: "aes128-sha256-x25519", "aes128gcm16".

export interface CipherChoice {
  /** IANA ENCR id. */
  readonly id: number
  /** Bits; 0 where the algorithm has no Key Length attribute. */
  readonly keyBits: number
}

/** One way to protect the IKE SA. */
export interface IkeProposal {
  readonly encryption: CipherChoice
  /** IANA INTEG id, 0 with an AEAD. */
  readonly integrity: number
  /** IANA PRF id. In IKEv1 it also names the hash. */
  readonly prf: number
  /** IANA key exchange (Diffie-Hellman group) id. */
  readonly group: number
}

/** One way to protect a CHILD_SA. */
export interface ChildProposal {
  readonly protocol: SaProtocol
  /** Absent for AH. */
  readonly encryption?: CipherChoice
  /** IANA INTEG id; 0 with an AEAD. */
  readonly integrity: number
  /** Group for PFS; 0 = none. */
  readonly group: number
  readonly esn: boolean
}
