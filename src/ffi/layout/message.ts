// struct mmsghdr, the unit of recvmmsg and sendmmsg: a msghdr and the length that the call reports.
//
//   octet  0               8       12      16              24
//          +---------------+-------+-------+---------------+---------------+
//       0  | msg_name  u64 |namelen|  pad  | msg_iov   u64 | msg_iovlen u64|
//          +---------------+-------+-------+---------------+---------------+
//      32  | msg_control   | msg_controllen| flags |  pad  |msg_len|  pad  |
//          +---------------+---------------+-------+-------+-------+-------+
//          32              40              48      52      56      60     64
//
// musl declares iovlen and controllen as 32 bits and padding; zeroed padding makes the two the same in memory.

export const MMSGHDR_LEN = 64
export const MSG_NAME = 0
export const MSG_NAMELEN = 8
export const MSG_IOV = 16
export const MSG_IOVLEN = 24
export const MSG_CONTROL = 32
export const MSG_CONTROLLEN = 40
export const MSG_FLAGS = 48
export const MSG_LEN = 56

/** The datagram was longer than its slot (in msg_flags after a receive). */
export const MSG_TRUNC = 0x20
/** Do not wait, whatever the descriptor's flags say. */
export const MSG_DONTWAIT = 0x40

/** Messages that one recvmmsg or sendmmsg takes at most (UIO_MAXIOV). */
export const MESSAGES_MAX = 1024

// struct cmsghdr, ancillary data in front of its value. Every cmsg starts at a multiple of 8.
//
//   octet  0               8               12              16
//          +---------------+---------------+---------------+------------- - -
//          | cmsg_len  u64 | level     i32 | type      i32 | value ...
//          +---------------+---------------+---------------+------------- - -
//
// cmsg_len counts header and value without the padding behind it: 17 for an octet, 18 for a u16, 20 for an int.

export const CMSG_HEADER_LEN = 16
export const CMSG_LEVEL = 8
export const CMSG_TYPE = 12

/** CMSG_LEN of a value of `length` octets. */
export const cmsgLength = (length: number): number => CMSG_HEADER_LEN + length
/** CMSG_SPACE of a value of `length` octets: where the next cmsg starts. */
export const cmsgSpace = (length: number): number => CMSG_HEADER_LEN + ((length + 7) & ~7)
