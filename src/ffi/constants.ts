// Numbers of Linux on x86-64, AArch64, RISC-V and LoongArch, which share asm-generic (koffi.ts checks the processor).

// fcntl.h
export const O_RDWR = 0o2
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000

// sys/socket.h
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = O_NONBLOCK
export const SOCK_CLOEXEC = O_CLOEXEC

export const SOL_SOCKET = 1
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_NO_CHECK = 11
export const SO_REUSEPORT = 15
export const SO_ATTACH_FILTER = 26
export const SO_ATTACH_REUSEPORT_CBPF = 51
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
export const SO_MARK = 36

// netinet/in.h
export const IPPROTO_IP = 0
export const IPPROTO_ICMP = 1
export const IPPROTO_UDP = 17
export const IPPROTO_IPV6 = 41
export const IPPROTO_ESP = 50
export const IPPROTO_AH = 51
export const IPPROTO_ICMPV6 = 58
/** Level of a raw socket's own options. */
export const SOL_RAW = 255
/** u32: bit n set discards type n. */
export const ICMP_FILTER = 1
/** The same for ICMPv6, 32 octets in words of the host's order. */
export const ICMP6_FILTER = 1
export const ICMP_DEST_UNREACH = 3
export const ICMPV6_DEST_UNREACH = 1
export const ICMPV6_PKT_TOOBIG = 2
export const ICMPV6_PARAMPROB = 4

/** Both the option that sets a socket's TOS and the type of the cmsg, in each direction. */
export const IP_TOS = 1
export const IP_HDRINCL = 3
export const IP_MTU_DISCOVER = 10
export const IP_RECVTOS = 13

export const IPV6_MTU_DISCOVER = 23
export const IPV6_V6ONLY = 26
export const IPV6_HDRINCL = 36
export const IPV6_RECVTCLASS = 66
export const IPV6_TCLASS = 67

// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER
export const PMTUDISC_DONT = 0
export const PMTUDISC_DO = 2
export const PMTUDISC_PROBE = 3

// linux/bpf.h
export const BPF_PROG_LOAD = 5
export const BPF_PROG_TYPE_SOCKET_FILTER = 1

// linux/udp.h
/** u16: the kernel cuts one message into datagrams of this length. */
export const UDP_SEGMENT = 103
/** int: the kernel joins datagrams of one flow, and says their length in a cmsg. */
export const UDP_GRO = 104

// sys/eventfd.h
export const EFD_NONBLOCK = O_NONBLOCK
export const EFD_CLOEXEC = O_CLOEXEC

// linux/if_packet.h, linux/if_ether.h
export const AF_UNIX = 1
export const AF_PACKET = 17
export const ETH_P_IP = 0x0800
export const ETH_P_IPV6 = 0x86dd

// linux/netlink.h
export const AF_NETLINK = 16
export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12
export const SOL_NETLINK = 270
/** An error's answer does not repeat the request. */
export const NETLINK_CAP_ACK = 10
/** An error's answer has text of the kernel's. */
export const NETLINK_EXT_ACK = 11
/** recv returns a datagram's length also when it was cut. */
export const MSG_TRUNC = 0x20
