import { equalOctets, fromHex } from '../../../bytes/octets.js'

// Vendor IDs that mean something to us. A VID says what its sender understands; nothing else follows from it.

export const VENDOR_ID = {
  /** MD5 of "RFC 3947": NAT traversal. */
  NAT_T: fromHex('4a131c81070358455c5728f20e95452f'),
  /** RFC 3706 section 5.1, version 1.0. */
  DPD: fromHex('afcad71368a1f1c96b8696fc77570100'),
  XAUTH: fromHex('09002689dfd6b712'),
  /** Cisco's fragmentation; four octets of flags follow, of which the highest bit means Main and Quick Mode. */
  FRAGMENTATION: fromHex('4048b7d56ebce88525e7de7f00d6c2d3'),
  /** First 16 octets of SHA-256("sallyport prefers UDP encapsulation 1"). */
  PREFERS_UDP: fromHex('e55fb076e1cca14fd5d2777552253822'),
  /** First 16 octets of SHA-256("sallyport lanes 1"); one octet follows: how many lanes the data path has. */
  LANES: fromHex('8b06919eeed0db29357485026b957d5d'),
  /** First 16 octets of SHA-256("sallyport offers extended sequence numbers 1"): offers with and without them are understood. */
  EXTENDED_NUMBERS: fromHex('47518140316aa922f15d0c4da0e21ed9'),
} as const

export type VendorName = keyof typeof VENDOR_ID

const names = Object.keys(VENDOR_ID) as VendorName[]

/** Which known vendor ID a payload's body is; undefined for all others. Only FRAGMENTATION and LANES may have octets behind it. */
export function vendorOf(body: Uint8Array): VendorName | undefined {
  return names.find((name) => {
    const id = VENDOR_ID[name]
    return equalOctets(name === 'FRAGMENTATION' || name === 'LANES' ? body.subarray(0, id.length) : body, id)
  })
}
