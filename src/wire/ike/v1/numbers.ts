// Assigned numbers of ISAKMP, the IPsec DOI and IKEv1 (RFC 2407, RFC 2408, RFC 2409 appendix A, RFC 3947, RFC 3706 and
// the IANA registries "isakmp-registry" and "ipsec-registry").

/** Payload types, RFC 2408 section 3.1; NAT-D and NAT-OA: RFC 3947 section 9. */
export const PAYLOAD = {
  SA: 1,
  PROPOSAL: 2,
  TRANSFORM: 3,
  KE: 4,
  ID: 5,
  CERT: 6,
  CERTREQ: 7,
  HASH: 8,
  SIGNATURE: 9,
  NONCE: 10,
  NOTIFY: 11,
  DELETE: 12,
  VID: 13,
  NAT_D: 20,
  NAT_OA: 21,
  /** Private use: a piece of a message, see fragment.ts. */
  FRAGMENT: 132,
} as const

/** Header flags, RFC 2408 section 3.1. */
export const FLAG = { ENCRYPTION: 0x01, COMMIT: 0x02, AUTHENTICATION_ONLY: 0x04 } as const

export const DOI_IPSEC = 1
export const SIT_IDENTITY_ONLY = 1

/** RFC 2407 section 4.4.1. */
export const PROTOCOL = { ISAKMP: 1, AH: 2, ESP: 3 } as const

/** The only transform of phase 1, RFC 2407 section 4.4.2. */
export const KEY_IKE = 1

/** Phase 1 attributes, RFC 2409 appendix A. */
export const PHASE1 = {
  ENCRYPTION: 1,
  HASH: 2,
  AUTHENTICATION: 3,
  GROUP: 4,
  LIFE_TYPE: 11,
  LIFE_DURATION: 12,
  PRF: 13,
  KEY_LENGTH: 14,
} as const
export const PHASE1_AES_CBC = 7
export const AUTH_PRE_SHARED_KEY = 1

/** Phase 2 attributes, RFC 2407 section 4.5; ESN: RFC 4304. */
export const PHASE2 = {
  LIFE_TYPE: 1,
  LIFE_DURATION: 2,
  GROUP: 3,
  ENCAPSULATION: 4,
  AUTHENTICATION: 5,
  KEY_LENGTH: 6,
  ESN: 11,
} as const
export const LIFE = { SECONDS: 1, KILOBYTES: 2 } as const

/** Encapsulation modes; the UDP ones: RFC 3947 section 9. */
export const ENCAPSULATION = { TUNNEL: 1, TRANSPORT: 2, UDP_TUNNEL: 3, UDP_TRANSPORT: 4 } as const

/** Identification types beyond those of identity.ts, RFC 2407 section 4.6.2.1. */
export const ID_TYPE = {
  IPV4_ADDR: 1,
  IPV4_ADDR_SUBNET: 4,
  IPV6_ADDR: 5,
  IPV6_ADDR_SUBNET: 6,
  IPV4_ADDR_RANGE: 7,
  IPV6_ADDR_RANGE: 8,
} as const

/** Notify messages: RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 section 5.3. */
export const NOTIFY = {
  INVALID_PAYLOAD_TYPE: 1,
  DOI_NOT_SUPPORTED: 2,
  SITUATION_NOT_SUPPORTED: 3,
  INVALID_COOKIE: 4,
  INVALID_MAJOR_VERSION: 5,
  INVALID_MINOR_VERSION: 6,
  INVALID_EXCHANGE_TYPE: 7,
  INVALID_FLAGS: 8,
  INVALID_MESSAGE_ID: 9,
  INVALID_PROTOCOL_ID: 10,
  INVALID_SPI: 11,
  INVALID_TRANSFORM_ID: 12,
  ATTRIBUTES_NOT_SUPPORTED: 13,
  NO_PROPOSAL_CHOSEN: 14,
  BAD_PROPOSAL_SYNTAX: 15,
  PAYLOAD_MALFORMED: 16,
  INVALID_KEY_INFORMATION: 17,
  INVALID_ID_INFORMATION: 18,
  INVALID_CERT_ENCODING: 19,
  INVALID_CERTIFICATE: 20,
  CERT_TYPE_UNSUPPORTED: 21,
  INVALID_CERT_AUTHORITY: 22,
  INVALID_HASH_INFORMATION: 23,
  AUTHENTICATION_FAILED: 24,
  INVALID_SIGNATURE: 25,
  ADDRESS_NOTIFICATION: 26,
  NOTIFY_SA_LIFETIME: 27,
  CERTIFICATE_UNAVAILABLE: 28,
  UNSUPPORTED_EXCHANGE_TYPE: 29,
  UNEQUAL_PAYLOAD_LENGTHS: 30,
  CONNECTED: 16384,
  RESPONDER_LIFETIME: 24576,
  REPLAY_STATUS: 24577,
  INITIAL_CONTACT: 24578,
  R_U_THERE: 36136,
  R_U_THERE_ACK: 36137,
} as const
export type NotifyName = keyof typeof NOTIFY

const notifyNames = new Map<number, string>(Object.entries(NOTIFY).map(([name, type]) => [type, name]))

/** IANA name with underscores, or "notify 1234". */
export const notifyName = (type: number): string => notifyNames.get(type) ?? `notify ${type}`

/** Types below 16384 report errors (RFC 2408 section 3.14.1). */
export const isErrorNotify = (type: number): boolean => type < 16384
