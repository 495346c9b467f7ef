/*
 * What the data path of an ESP gateway costs when nothing but the data path is there: one thread, one peer, one key that is
 * written down here, no policy, no replay window, no key exchange. It protects nothing and is for measuring only.
 *
 *   TUN (vnet_hdr, TSO) -> segments -> ESP tunnel, AES-128-GCM by libIPSec_MB -> UDP with UDP_SEGMENT
 *   UDP with UDP_GRO -> ESP opened -> TCP segments joined -> TUN with writev
 *
 * usage: limit TUN LOCAL REMOTE      (IPv4 addresses of the underlay; the TUN device has been made with vnet_hdr)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <intel-ipsec-mb.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	PORT = 4500,
	SPI = 0x1001,
	ESP_HEADER = 8,
	IV = 8,
	ICV = 16,
	PACKET_MAX = 65536 + 64,
	/* What one message with UDP_SEGMENT may carry. */
	SEND_MAX = 65000,
	SEGMENTS_MAX = 64,
	RECEIVE_BATCH = 8,
	/* What is read from the TUN device before the socket has its turn. */
	READS_MAX = 64,
	READ_OCTETS_MAX = 256 * 1024,
};

/* virtio_net_hdr without num_buffers, as TUN has it by default. */
typedef struct virtio_net_hdr vnet_hdr;

static int tun, udp;
static IMB_MGR *mb;
static struct gcm_key_data key __attribute__((aligned(64)));
static struct gcm_context_data context __attribute__((aligned(64)));
static uint32_t sequence;
static const uint8_t salt[4] = {0x5a, 0x11, 0x5a, 0x11};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- checksums ---- */

/* Ones' complement sum of n octets, not folded. The compiler turns the loop into vector instructions. */
static uint64_t sum(const uint8_t *p, size_t n)
{
	uint64_t s = 0;
	for (; n >= 4; n -= 4, p += 4) {
		uint32_t word;
		memcpy(&word, p, 4);
		s += word;
	}
	uint32_t rest = 0;
	memcpy(&rest, p, n);
	return s + rest;
}

static uint16_t fold(uint64_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return s;
}

static uint64_t tcp_pseudo_header(const struct iphdr *ip, size_t tcp_length)
{
	return sum((const uint8_t *)&ip->saddr, 8) + htons(IPPROTO_TCP) + htons(tcp_length);
}

static void ip_checksum(struct iphdr *ip)
{
	ip->check = 0;
	ip->check = ~fold(sum((const uint8_t *)ip, ip->ihl * 4));
}

/* ---- ESP ---- */

/* Octets of the ESP packet that holds an inner packet of this length. */
static size_t sealed_length(size_t length)
{
	size_t padded = (length + 2 + 3) & ~(size_t)3;
	return ESP_HEADER + IV + padded + ICV;
}

/* Seals a packet. The trailer is written behind it for a moment; what was there is put back. */
static size_t seal(uint8_t *packet, size_t length, uint8_t *out)
{
	uint8_t nonce[12], behind[8];
	uint8_t *trailer = packet + length;
	size_t padding = ((length + 2 + 3) & ~(size_t)3) - length - 2;

	memcpy(behind, trailer, sizeof behind);
	for (size_t i = 0; i < padding; i++)
		trailer[i] = i + 1;
	trailer[padding] = padding;
	trailer[padding + 1] = packet[0] >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;

	uint32_t header[4] = {htonl(SPI), htonl(++sequence), 0, htonl(sequence)};
	memcpy(out, header, sizeof header);
	memcpy(nonce, salt, 4);
	memcpy(nonce + 4, out + ESP_HEADER, IV);
	size_t text = length + padding + 2;
	uint8_t *cipher = out + ESP_HEADER + IV;
	IMB_AES128_GCM_ENC(mb, &key, &context, cipher, packet, text, nonce, out, ESP_HEADER, cipher + text, ICV);
	memcpy(trailer, behind, sizeof behind);
	return ESP_HEADER + IV + text + ICV;
}

/* Opens an ESP packet in place. Returns the inner packet's length, 0 when it is none of ours. */
static size_t open_packet(uint8_t *esp, size_t length, uint8_t **inner)
{
	uint8_t nonce[12], icv[ICV];
	if (length < ESP_HEADER + IV + 4 + ICV)
		return 0;
	uint8_t *text = esp + ESP_HEADER + IV;
	size_t n = length - ESP_HEADER - IV - ICV;
	memcpy(nonce, salt, 4);
	memcpy(nonce + 4, esp + ESP_HEADER, IV);
	IMB_AES128_GCM_DEC(mb, &key, &context, text, text, n, nonce, esp, ESP_HEADER, icv, ICV);
	if (memcmp(icv, text + n, ICV) != 0 || text[n - 2] + (size_t)2 > n)
		return 0;
	*inner = text;
	return n - 2 - text[n - 2];
}

/* ---- outbound ---- */

/* Sealed packets that wait to go out in one call. All are of one length; only the last may be shorter. */
static struct {
	uint8_t octets[SEND_MAX];
	size_t used, datagram, count;
} batch;

static void send_batch(void)
{
	if (batch.count == 0)
		return;
	struct iovec vector = {batch.octets, batch.used};
	char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	if (batch.count > 1) {
		message.msg_control = control;
		message.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
		uint16_t s = batch.datagram;
		memcpy(CMSG_DATA(c), &s, sizeof s);
	}
	while (sendmsg(udp, &message, 0) < 0 && errno == EAGAIN) {
		struct pollfd writable = {udp, POLLOUT, 0};
		poll(&writable, 1, 1);
	}
	batch.used = batch.count = 0;
}

static void seal_into_batch(uint8_t *packet, size_t length)
{
	size_t n = sealed_length(length);
	if (n > batch.datagram || batch.count == SEGMENTS_MAX || batch.used + n > SEND_MAX)
		send_batch();
	if (n > SEND_MAX)
		return;
	if (batch.count == 0)
		batch.datagram = n;
	batch.used += seal(packet, length, batch.octets + batch.used);
	batch.count++;
	if (n < batch.datagram)
		send_batch();
}

/*
 * Cuts a large TCP packet. Each segment's headers are written in front of its payload, over the end of the one before,
 * which is sealed by then.
 */
static void segment_tcp(uint8_t *packet, size_t length, size_t mss)
{
	struct iphdr ip_header;
	uint8_t tcp_bytes[60];
	memcpy(&ip_header, packet, sizeof ip_header);
	size_t ip_length = ip_header.ihl * 4, tcp_length = ((struct tcphdr *)(packet + ip_length))->doff * 4;
	if (ip_length != sizeof ip_header || length <= ip_length + tcp_length || mss == 0)
		return;
	memcpy(tcp_bytes, packet + ip_length, tcp_length);
	struct tcphdr *first = (struct tcphdr *)tcp_bytes;
	size_t headers = ip_length + tcp_length, payload = length - headers;
	uint32_t number = ntohl(first->seq);
	uint16_t id = ntohs(ip_header.id);

	for (size_t at = 0; at < payload; at += mss) {
		size_t n = payload - at < mss ? payload - at : mss;
		bool last = at + n == payload;
		uint8_t *segment = packet + at;
		struct iphdr *ip = (struct iphdr *)segment;
		struct tcphdr *tcp = (struct tcphdr *)(segment + ip_length);
		memcpy(ip, &ip_header, sizeof ip_header);
		memcpy(tcp, tcp_bytes, tcp_length);
		ip->tot_len = htons(headers + n);
		ip->id = htons(id++);
		ip_checksum(ip);
		tcp->seq = htonl(number + at);
		if (!last)
			tcp->fin = tcp->psh = 0;
		tcp->check = 0;
		tcp->check = ~fold(sum((uint8_t *)tcp, tcp_length + n) + tcp_pseudo_header(ip, tcp_length + n));
		seal_into_batch(segment, headers + n);
	}
}

/* Reads one packet and seals what comes of it. Returns its length, 0 when there is none. */
static size_t read_tun(void)
{
	/* Room in front, so that the packet behind the header is aligned; and behind, for the trailer. */
	static uint8_t buffer[PACKET_MAX + 128] __attribute__((aligned(64)));
	uint8_t *packet = buffer + 64, *at = packet - sizeof(vnet_hdr);
	ssize_t got = read(tun, at, PACKET_MAX);
	if (got <= (ssize_t)(sizeof(vnet_hdr) + sizeof(struct iphdr)))
		return got > 0 ? got : 0;
	vnet_hdr h;
	memcpy(&h, at, sizeof h);
	size_t length = got - sizeof h;
	if ((h.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4) {
		segment_tcp(packet, length, h.gso_size);
		return length;
	}
	if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && h.csum_start + h.csum_offset + (size_t)2 <= length) {
		uint16_t check = ~fold(sum(packet + h.csum_start, length - h.csum_start));
		memcpy(packet + h.csum_start + h.csum_offset, &check, sizeof check);
	}
	seal_into_batch(packet, length);
	return length;
}

/* ---- inbound ---- */

/* TCP segments that follow each other: the first one whole, of the others the payload. vectors[0] is the vnet header. */
static struct {
	struct iovec vectors[SEGMENTS_MAX + 1];
	size_t count, length, mss;
	uint32_t next;
	bool push;
} join;

static void flush(void)
{
	if (join.count == 0)
		return;
	vnet_hdr h = {0};
	if (join.count > 1) {
		struct iphdr *ip = join.vectors[1].iov_base;
		struct tcphdr *tcp = (struct tcphdr *)(ip + 1);
		size_t tcp_length = join.length - sizeof *ip;
		ip->tot_len = htons(join.length);
		ip_checksum(ip);
		tcp->psh = join.push;
		tcp->check = fold(tcp_pseudo_header(ip, tcp_length));
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.hdr_len = sizeof *ip + tcp->doff * 4;
		h.gso_size = join.mss;
		h.csum_start = sizeof *ip;
		h.csum_offset = offsetof(struct tcphdr, check);
	}
	join.vectors[0] = (struct iovec){&h, sizeof h};
	if (writev(tun, join.vectors, join.count + 1) < 0 && errno != EAGAIN && errno != EINVAL)
		fail("writev");
	join.count = 0;
}

static void begin(uint8_t *packet, size_t length)
{
	join.vectors[1] = (struct iovec){packet, length};
	join.count = 1;
	join.length = length;
}

/* Whether the segment continues the joined ones: same flow, acknowledgement, window and options, the next octets. */
static bool continues(const struct iphdr *ip, const struct tcphdr *tcp, size_t payload)
{
	const struct iphdr *ip0 = join.vectors[1].iov_base;
	const struct tcphdr *tcp0 = (const struct tcphdr *)(ip0 + 1);
	return join.count > 0 && join.count < SEGMENTS_MAX && !join.push && ntohl(tcp->seq) == join.next &&
	       payload <= join.mss && join.length + payload < SEND_MAX && tcp->doff == tcp0->doff &&
	       memcmp(&ip->saddr, &ip0->saddr, 8) == 0 && ip->tos == ip0->tos && ip->ttl == ip0->ttl &&
	       memcmp(tcp, tcp0, 4) == 0 && tcp->ack_seq == tcp0->ack_seq && tcp->window == tcp0->window &&
	       memcmp(tcp + 1, tcp0 + 1, tcp->doff * 4 - sizeof *tcp) == 0;
}

static void deliver(uint8_t *packet, size_t length)
{
	struct iphdr *ip = (struct iphdr *)packet;
	struct tcphdr *tcp = (struct tcphdr *)(ip + 1);
	bool plain_tcp = length >= sizeof *ip + sizeof *tcp && packet[0] == 0x45 && ip->protocol == IPPROTO_TCP &&
			 (ip->frag_off & htons(IP_MF | IP_OFFMASK)) == 0 && ntohs(ip->tot_len) == length &&
			 sizeof *ip + tcp->doff * 4 < length && tcp->doff >= 5 &&
			 (((uint8_t *)tcp)[13] & ~(TH_ACK | TH_PUSH)) == 0;
	size_t tcp_length = length - sizeof *ip;
	if (!plain_tcp || fold(sum((uint8_t *)tcp, tcp_length) + tcp_pseudo_header(ip, tcp_length)) != 0xffff) {
		flush();
		begin(packet, length);
		flush();
		return;
	}
	size_t headers = sizeof *ip + tcp->doff * 4, payload = length - headers;
	if (continues(ip, tcp, payload)) {
		join.vectors[++join.count] = (struct iovec){packet + headers, payload};
		join.length += payload;
	} else {
		flush();
		begin(packet, length);
		join.mss = payload;
	}
	join.next = ntohl(tcp->seq) + payload;
	join.push = tcp->psh;
	/* A shorter one is the last of its train. */
	if (join.push || payload < join.mss)
		flush();
}

static bool read_udp(void)
{
	static uint8_t slots[RECEIVE_BATCH][PACKET_MAX] __attribute__((aligned(64)));
	struct mmsghdr messages[RECEIVE_BATCH];
	struct iovec vectors[RECEIVE_BATCH];
	char control[RECEIVE_BATCH][64];
	for (int i = 0; i < RECEIVE_BATCH; i++) {
		vectors[i] = (struct iovec){slots[i], PACKET_MAX};
		messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = 64};
	}
	int n = recvmmsg(udp, messages, RECEIVE_BATCH, 0, NULL);
	for (int i = 0; i < n; i++) {
		size_t length = messages[i].msg_len;
		int segment = length;
		struct msghdr *m = &messages[i].msg_hdr;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
			if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
				memcpy(&segment, CMSG_DATA(c), sizeof segment);
		for (size_t at = 0; at < length; at += segment) {
			size_t left = length - at, size = left < (size_t)segment ? left : (size_t)segment;
			uint8_t *inner;
			size_t inner_length = open_packet(slots[i] + at, size, &inner);
			if (inner_length > 0)
				deliver(inner, inner_length);
		}
	}
	flush();
	return n > 0;
}

/* ---- start ---- */

static void open_tun(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if ((tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0)
		fail("/dev/net/tun");
	if (ioctl(tun, TUNSETIFF, &request) < 0)
		fail("TUNSETIFF");
	if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
		fail("TUNSETOFFLOAD");
}

static void open_udp(const char *local, const char *remote)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(PORT)}, to = from;
	if (inet_pton(AF_INET, local, &from.sin_addr) != 1 || inet_pton(AF_INET, remote, &to.sin_addr) != 1) {
		fprintf(stderr, "not an IPv4 address\n");
		exit(2);
	}
	int size = 8 << 20, on = 1;
	if ((udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) < 0)
		fail("socket");
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
	if (setsockopt(udp, SOL_UDP, UDP_GRO, &on, sizeof on) < 0)
		fail("UDP_GRO");
	if (bind(udp, (struct sockaddr *)&from, sizeof from) < 0 || connect(udp, (struct sockaddr *)&to, sizeof to) < 0)
		fail("bind, connect");
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: limit TUN LOCAL REMOTE\n");
		return 2;
	}
	if (!(mb = alloc_mb_mgr(0)))
		fail("alloc_mb_mgr");
	init_mb_mgr_auto(mb, NULL);
	static const uint8_t secret[16] = "for measuring!!";
	IMB_AES128_GCM_PRE(mb, secret, &key);
	open_tun(argv[1]);
	open_udp(argv[2], argv[3]);
	struct pollfd ready[2] = {{tun, POLLIN, 0}, {udp, POLLIN, 0}};
	for (;;) {
		bool busy = false;
		size_t octets = 0, got;
		for (int i = 0; i < READS_MAX && octets < READ_OCTETS_MAX && (got = read_tun()) > 0; i++) {
			octets += got;
			busy = true;
		}
		send_batch();
		if (read_udp())
			busy = true;
		if (!busy)
			poll(ready, 2, -1);
	}
}
