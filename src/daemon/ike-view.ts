/** A peer's key management as status shows it. */
export interface IkeView {
  readonly version: 1 | 2
  /** What is under way: "idle", "pre-phase", "negotiating", "established". */
  readonly phase: string
  /** Why the last attempt failed; absent since one succeeded. */
  readonly lastError: string | undefined
  readonly sas: readonly IkeSaView[]
}

export interface IkeSaView {
  readonly version: 1 | 2
  readonly state: 'CONNECTING' | 'ESTABLISHED' | 'REKEYING' | 'DELETING'
  readonly initiator: boolean
  /** 16 hex digits each. */
  readonly initiatorSpi: string
  readonly responderSpi: string
  readonly localPort: number
  readonly remotePort: number
  /** IANA names; absent while nothing is negotiated. */
  readonly encryption: string | undefined
  readonly keyBits: number | undefined
  readonly integrity: string | undefined
  readonly prf: string | undefined
  readonly group: string | undefined
  readonly ageSeconds: number | undefined
  readonly rekeySeconds: number | undefined
}
