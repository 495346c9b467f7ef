// Assigned numbers of IKEv2 (RFC 7296 section 3 and the IANA registry "ikev2-parameters").

/** Payload types, RFC 7296 section 3.2; SKF: RFC 7383 section 2.5. */
export const PAYLOAD = {
  SA: 33,
  KE: 34,
  ID_I: 35,
  ID_R: 36,
  CERT: 37,
  CERTREQ: 38,
  AUTH: 39,
  NONCE: 40,
  NOTIFY: 41,
  DELETE: 42,
  VENDOR: 43,
  TS_I: 44,
  TS_R: 45,
  SK: 46,
  CP: 47,
  EAP: 48,
  SKF: 53,
} as const

const NAMES: ReadonlyMap<number, string> = new Map([
  [PAYLOAD.SA, 'SA'],
  [PAYLOAD.KE, 'KE'],
  [PAYLOAD.ID_I, 'IDi'],
  [PAYLOAD.ID_R, 'IDr'],
  [PAYLOAD.CERT, 'CERT'],
  [PAYLOAD.CERTREQ, 'CERTREQ'],
  [PAYLOAD.AUTH, 'AUTH'],
  [PAYLOAD.NONCE, 'Nonce'],
  [PAYLOAD.NOTIFY, 'N'],
  [PAYLOAD.DELETE, 'D'],
  [PAYLOAD.VENDOR, 'V'],
  [PAYLOAD.TS_I, 'TSi'],
  [PAYLOAD.TS_R, 'TSr'],
])
/** As RFC 7296 section 3.2 abbreviates it. */
export const payloadName = (type: number): string => NAMES.get(type) ?? `${type}`

const known = new Set<number>(Object.values(PAYLOAD))
/** Whether the critical bit of a payload type is without meaning to us (RFC 7296 section 2.5). */
export const isKnownPayload = (type: number): boolean => known.has(type)

/** Header flags, RFC 7296 section 3.1. */
export const FLAG = { INITIATOR: 0x08, HIGHER_VERSION: 0x10, RESPONSE: 0x20 } as const

export const PROTOCOL = { IKE: 1, AH: 2, ESP: 3 } as const

/** Transform types, RFC 7296 section 3.3.2; ADDKE1: RFC 9370. KE is "Diffie-Hellman Group" there. */
export const TRANSFORM = { ENCR: 1, PRF: 2, INTEG: 3, KE: 4, ESN: 5, ADDKE1: 6 } as const

/** Whether a transform type is an additional key exchange: ADDKE1 to ADDKE7, RFC 9370 section 4. */
export const isAdditional = (type: number): boolean => type >= TRANSFORM.ADDKE1 && type <= 12

/** The only transform attribute, RFC 7296 section 3.3.5: bits. */
export const ATTRIBUTE_KEY_LENGTH = 14

/** Authentication methods, RFC 7296 section 3.8. */
export const AUTH_METHOD = { RSA: 1, SHARED_KEY: 2, DIGITAL_SIGNATURE: 14 } as const

/** Certificate encodings, RFC 7296 section 3.6; RFC 7670 for what is none. */
export const CERT_ENCODING = { RAW_PUBLIC_KEY: 15 } as const

/** Hash algorithms of digital signatures, RFC 7427 section 7. IDENTITY: the algorithm hashes for itself (RFC 8420 section 2). */
export const SIGNATURE_HASH = { IDENTITY: 5 } as const

/** Notify message types, RFC 7296 section 3.10.1; others by their own RFCs. */
export const NOTIFY = {
  UNSUPPORTED_CRITICAL_PAYLOAD: 1,
  INVALID_IKE_SPI: 4,
  INVALID_MAJOR_VERSION: 5,
  INVALID_SYNTAX: 7,
  INVALID_MESSAGE_ID: 9,
  INVALID_SPI: 11,
  NO_PROPOSAL_CHOSEN: 14,
  INVALID_KE_PAYLOAD: 17,
  AUTHENTICATION_FAILED: 24,
  SINGLE_PAIR_REQUIRED: 34,
  NO_ADDITIONAL_SAS: 35,
  INTERNAL_ADDRESS_FAILURE: 36,
  FAILED_CP_REQUIRED: 37,
  TS_UNACCEPTABLE: 38,
  INVALID_SELECTORS: 39,
  TEMPORARY_FAILURE: 43,
  CHILD_SA_NOT_FOUND: 44,
  STATE_NOT_FOUND: 47,
  TS_MAX_QUEUE: 48,
  INITIAL_CONTACT: 16384,
  SET_WINDOW_SIZE: 16385,
  ADDITIONAL_TS_POSSIBLE: 16386,
  IPCOMP_SUPPORTED: 16387,
  NAT_DETECTION_SOURCE_IP: 16388,
  NAT_DETECTION_DESTINATION_IP: 16389,
  COOKIE: 16390,
  USE_TRANSPORT_MODE: 16391,
  HTTP_CERT_LOOKUP_SUPPORTED: 16392,
  REKEY_SA: 16393,
  ESP_TFC_PADDING_NOT_SUPPORTED: 16394,
  NON_FIRST_FRAGMENTS_ALSO: 16395,
  MOBIKE_SUPPORTED: 16396,
  CHILDLESS_IKEV2_SUPPORTED: 16418,
  QCD_TOKEN: 16419,
  IKEV2_FRAGMENTATION_SUPPORTED: 16430,
  SIGNATURE_HASH_ALGORITHMS: 16431,
  USE_PPK: 16435,
  PPK_IDENTITY: 16436,
  NO_PPK_AUTH: 16437,
  INTERMEDIATE_EXCHANGE_SUPPORTED: 16438,
  ADDITIONAL_KEY_EXCHANGE: 16441,
  /** Private use: why the sender refuses, in words. */
  SALLYPORT_EXPLANATION: 58_683,
} as const
export type NotifyName = keyof typeof NOTIFY

const notifyNames = new Map<number, string>(Object.entries(NOTIFY).map(([name, type]) => [type, name]))

/** IANA name, or "notify 1234". */
export const notifyName = (type: number): string => notifyNames.get(type) ?? `notify ${type}`

/** Types below 16384 report errors (RFC 7296 section 3.10.1). */
export const isErrorNotify = (type: number): boolean => type < 16384
