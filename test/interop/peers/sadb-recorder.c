// Preloaded into an IKE daemon of others, on a kernel that has neither ESP nor AH of its own: takes the SAs that the daemon
// would give to the kernel, and writes them to the file that the environment's SADB_RECORD names, a line for each message:
// "xfrm HEX" or "pfkey HEX". What such a kernel does have, SPIs and policies of XFRM, stays the kernel's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipsec.h>
#include <linux/netlink.h>
#include <linux/pfkeyv2.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_FD = 1024, MAX_MESSAGE = 16384, SPI_OCTETS = 4, MAX_LIFE_SECONDS = 60 };

static unsigned char is_xfrm[MAX_FD];

static int record_fd = -1;

// Before the daemon locks itself into a folder and gives its rights away.
__attribute__((constructor)) static void open_record(void) {
  const char *path = getenv("SADB_RECORD");
  if (path) record_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// One write, as several threads and processes may be at it.
static void record(const char *what, const void *message, size_t length) {
  char line[2 * MAX_MESSAGE + 16];
  int at = snprintf(line, sizeof line, "%s ", what);
  for (size_t i = 0; i < length; i++) at += sprintf(line + at, "%02x", ((const unsigned char *)message)[i]);
  line[at++] = '\n';
  if (write(record_fd, line, at) != at) abort();
}

// XFRM: the kernel acknowledges a message without a meaning, which is all that the daemon wants to hear.
static void without_meaning(void *message, size_t length) {
  struct nlmsghdr *head = message;
  const unsigned type = head->nlmsg_type;
  if (type != XFRM_MSG_NEWSA && type != XFRM_MSG_UPDSA && type != XFRM_MSG_DELSA) return;
  record("xfrm", message, length);
  head->nlmsg_type = NLMSG_NOOP;
  head->nlmsg_flags |= NLM_F_ACK;
}

static int for_xfrm(int fd, size_t length) {
  return fd >= 0 && fd < MAX_FD && is_xfrm[fd] && length >= sizeof(struct nlmsghdr) && length <= MAX_MESSAGE;
}

// The function of that name that the daemon would call without this library.
#define REAL(name) static typeof(name) *real; if (!real) real = (typeof(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t length) {
  REAL(write);
  if (!for_xfrm(fd, length)) return real(fd, data, length);
  _Alignas(8) unsigned char message[MAX_MESSAGE];
  memcpy(message, data, length);
  without_meaning(message, length);
  return real(fd, message, length);
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
  REAL(sendto);
  if (!for_xfrm(fd, length)) return real(fd, data, length, flags, to, size);
  _Alignas(8) unsigned char message[MAX_MESSAGE];
  memcpy(message, data, length);
  without_meaning(message, length);
  return real(fd, message, length, flags, to, size);
}

// PF_KEY (RFC 2367): the kernel may lack it altogether. Each request is answered with itself; an SPI is chosen at random.
static void choose_spi(unsigned char *message, size_t length) {
  for (size_t at = sizeof(struct sadb_msg); at + sizeof(struct sadb_sa) <= length;) {
    struct sadb_ext *extension = (void *)(message + at);
    if (extension->sadb_ext_type == SADB_EXT_SPIRANGE) {
      // Of the same size.
      struct sadb_sa *sa = (void *)extension;
      sa->sadb_sa_exttype = SADB_EXT_SA;
      memset(&sa->sadb_sa_spi, 0, sizeof *sa - offsetof(struct sadb_sa, sadb_sa_spi));
      if (getrandom(&sa->sadb_sa_spi, SPI_OCTETS, 0) != SPI_OCTETS) abort();
      // Those below 256 are reserved.
      *(unsigned char *)&sa->sadb_sa_spi |= 0x80;
    }
    if (extension->sadb_ext_len == 0) return;
    at += extension->sadb_ext_len * 8;
  }
}

// The socket is one that sends to itself, so that an answer is there when the request has been written, as with a kernel. The
// daemon hands it to another of its processes: the name tells it everywhere.
static const char PF_KEY_NAME[] = "sadb-recorder-";

static int open_pf_key(void) {
  struct sockaddr_un own = { .sun_family = AF_UNIX };
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // An abstract name: its first octet is zero.
  snprintf(own.sun_path + 1, sizeof own.sun_path - 1, "%s%d-%d", PF_KEY_NAME, getpid(), fd);
  if (bind(fd, (void *)&own, sizeof own) == 0 && connect(fd, (void *)&own, sizeof own) == 0) return fd;
  close(fd);
  return -1;
}

static int is_pf_key(int fd) {
  struct sockaddr_un name = { 0 };
  socklen_t size = sizeof name;
  const int saved = errno;
  const int named = getsockname(fd, (void *)&name, &size) == 0 && name.sun_family == AF_UNIX;
  errno = saved;
  return named && memcmp(name.sun_path + 1, PF_KEY_NAME, sizeof PF_KEY_NAME - 1) == 0;
}

// What the kernel says when an SA's soft limit of time is over, SADB_EXPIRE, is said after it by a thread of its own.
struct expiry {
  int fd;
  struct {
    struct sadb_msg head;
    struct sadb_sa sa;
    struct sadb_lifetime soft;
  } message;
};

static void *expire(void *argument) {
  struct expiry *e = argument;
  sleep(e->message.soft.sadb_lifetime_addtime);
  // The SA may be gone by now, and the daemon with it: nobody minds.
  if (write(e->fd, &e->message, sizeof e->message) < 0) errno = 0;
  free(e);
  return NULL;
}

static void expire_later(int fd, const unsigned char *message, size_t length) {
  struct expiry e = { .fd = fd };
  memcpy(&e.message.head, message, sizeof e.message.head);
  for (size_t at = sizeof(struct sadb_msg); at + sizeof(struct sadb_ext) <= length;) {
    const struct sadb_ext *extension = (const void *)(message + at);
    const size_t size = extension->sadb_ext_len * 8;
    if (size == 0 || size > length - at) return;
    if (extension->sadb_ext_type == SADB_EXT_SA) memcpy(&e.message.sa, extension, sizeof e.message.sa);
    if (extension->sadb_ext_type == SADB_EXT_LIFETIME_SOFT) memcpy(&e.message.soft, extension, sizeof e.message.soft);
    at += size;
  }
  const unsigned long long seconds = e.message.soft.sadb_lifetime_addtime;
  if (seconds == 0 || seconds > MAX_LIFE_SECONDS) return;
  e.message.head.sadb_msg_type = SADB_EXPIRE;
  e.message.head.sadb_msg_len = sizeof e.message / 8;
  e.message.head.sadb_msg_seq = 0;
  e.message.head.sadb_msg_pid = 0;
  struct expiry *own = malloc(sizeof *own);
  pthread_t thread;
  if (!own) return;
  *own = e;
  if (pthread_create(&thread, NULL, expire, own) == 0) pthread_detach(thread);
  else free(own);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  if (!is_pf_key(fd)) return real(fd, parts, count);
  _Alignas(8) unsigned char message[MAX_MESSAGE];
  size_t length = 0;
  for (int i = 0; i < count && parts[i].iov_len <= sizeof message - length; i++) {
    memcpy(message + length, parts[i].iov_base, parts[i].iov_len);
    length += parts[i].iov_len;
  }
  if (length < sizeof(struct sadb_msg)) return real(fd, parts, count);
  const unsigned type = ((struct sadb_msg *)message)->sadb_msg_type;
  if (type == SADB_ADD || type == SADB_UPDATE || type == SADB_DELETE) record("pfkey", message, length);
  if (type == SADB_ADD || type == SADB_UPDATE) expire_later(fd, message, length);
  if (type == SADB_GETSPI) choose_spi(message, length);
  return write(fd, message, length);
}

int socket(int domain, int type, int protocol) {
  REAL(socket);
  if (domain == PF_KEY) return open_pf_key();
  const int fd = real(domain, type, protocol);
  if (fd >= 0 && fd < MAX_FD) is_xfrm[fd] = domain == AF_NETLINK && protocol == NETLINK_XFRM;
  return fd;
}

// Policies of a socket need PF_KEY as well. There is nothing here that IKE's own packets would have to go round.
int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
  REAL(setsockopt);
  if ((level == IPPROTO_IP && name == IP_IPSEC_POLICY) || (level == IPPROTO_IPV6 && name == IPV6_IPSEC_POLICY))
    return 0;
  return real(fd, level, name, value, length);
}
