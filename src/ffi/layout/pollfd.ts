// struct pollfd
//
//   octet  0               4       6       8
//          +---------------+-------+-------+
//          | fd        i32 |events |revents|
//          +---------------+-------+-------+

export const POLLFD_LEN = 8
export const POLL_EVENTS = 4
export const POLL_REVENTS = 6

export const POLLIN = 0x001
export const POLLOUT = 0x004
export const POLLERR = 0x008
export const POLLHUP = 0x010
export const POLLNVAL = 0x020
