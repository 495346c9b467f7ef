// struct ifreq, as TUNSETIFF takes it (linux/if.h): 40 octets, a name and a union of which the flags are used.
//
//   octet  0                               16      18                    40
//          +-------------- - - ------------+-------+--------- - - -------+
//          | ifr_name, NUL-terminated (16) | flags |  not used (22)      |
//          +-------------- - - ------------+-------+--------- - - -------+

export const IFREQ_LEN = 40
export const IFR_FLAGS = 16
/** Room for a name and its NUL. */
export const IFNAMSIZ = 16

// The ioctls of linux/if_tun.h, _IOW('T', n, int) and friends. `P` marks those that take a pointer, `V` a value.

/** P ifreq: makes or opens the device. */
export const TUNSETIFF = 0x400454ca
/** P ifreq: reads name and flags back. */
export const TUNGETIFF = 0x800454d2
/** P unsigned int: the IFF_ flags that the kernel knows. */
export const TUNGETFEATURES = 0x800454cf
/** V: TUN_F_ bits that packets read from the device may need. */
export const TUNSETOFFLOAD = 0x400454d0
/** P int: length of the virtio_net_hdr in front of packets. */
export const TUNSETVNETHDRSZ = 0x400454d8
/** int *: a descriptor of an eBPF program that chooses the queue (Linux 4.16). */
export const TUNSETSTEERINGEBPF = 0x800454e0

export const IFF_TUN = 0x0001
/** No four octets of flags and EtherType in front of packets. */
export const IFF_NO_PI = 0x1000
/** A virtio_net_hdr in front of packets. */
export const IFF_VNET_HDR = 0x4000
/** Several descriptors, one queue each. */
export const IFF_MULTI_QUEUE = 0x0100
/** Fail when the device exists. */
export const IFF_TUN_EXCL = 0x8000

/** Checksums may be left to the reader. */
export const TUN_F_CSUM = 0x01
export const TUN_F_TSO4 = 0x02
export const TUN_F_TSO6 = 0x04
/** TSO for segments with ECN's CWR: without it the kernel segments those itself. */
export const TUN_F_TSO_ECN = 0x08
export const TUN_F_USO4 = 0x20
export const TUN_F_USO6 = 0x40
