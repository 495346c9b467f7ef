import { SCRATCH_IPSEC, SCRATCH_LEN, type Slab } from '../bytes/slab.js'

// Where things lie in the scratch area of a slab, from `ipsecScratch`. All of it is dead once a call has returned.

/** Nonce of a counter mode, 12 octets, and 4 of AES-CTR's counter. */
export const NONCE = 0
/** AAD with ESN: SPI, high, low. */
export const AAD = 16
/** All-zero block for the first encryption of an IV. */
export const ZERO_BLOCK = 32
/** The block that becomes an IV. */
export const IV_BLOCK = 48
/** High half of an extended sequence number, which follows the packet in the ICV's input. */
export const ESN_TAIL = 64
/** Octets behind the payload while an ESP trailer stands there. */
export const SAVED_TRAILER = 80
export const SAVED_TRAILER_MAX = 48
/** A received ICV while its field is zero. */
export const SAVED_ICV = 128
export const SAVED_ICV_MAX = 64
/** IP header, options and extension headers while their mutable fields are zero. */
export const SAVED_HEADERS = 192
export const SAVED_HEADERS_MAX = SCRATCH_LEN - SCRATCH_IPSEC - SAVED_HEADERS

/** Slab offset of the part of the scratch area that is ours. */
export const ipsecScratch = (slab: Slab): number => slab.scratch + SCRATCH_IPSEC
