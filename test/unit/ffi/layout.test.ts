import { describe, expect, test } from 'vitest'
import { koffi } from '../../../src/ffi/koffi.js'
import * as ifreq from '../../../src/ffi/layout/ifreq.js'
import * as job from '../../../src/ffi/layout/imb-job.js'
import * as iovec from '../../../src/ffi/layout/iovec.js'
import * as message from '../../../src/ffi/layout/message.js'
import * as pollfd from '../../../src/ffi/layout/pollfd.js'
import * as sockaddr from '../../../src/ffi/layout/sockaddr.js'
import { NativeMemory, setWord64 } from '../../../src/ffi/native-memory.js'

// The numbers of src/ffi/layout against what a C compiler's rules make of the declarations in the headers.

const ffi = koffi()

describe('structures', () => {
  test('iovec', () => {
    const type = ffi.struct({ iov_base: 'uintptr_t', iov_len: 'size_t' })
    expect(ffi.sizeof(type)).toBe(iovec.IOVEC_LEN)
    expect(ffi.offsetof(type, 'iov_base')).toBe(iovec.IOV_BASE)
    expect(ffi.offsetof(type, 'iov_len')).toBe(iovec.IOV_LEN)
  })

  test('mmsghdr', () => {
    const type = ffi.struct({
      msg_name: 'uintptr_t',
      msg_namelen: 'uint32_t',
      msg_iov: 'uintptr_t',
      msg_iovlen: 'size_t',
      msg_control: 'uintptr_t',
      msg_controllen: 'size_t',
      msg_flags: 'int',
    })
    const many = ffi.struct({ msg_hdr: type, msg_len: 'uint32_t' })
    expect(ffi.sizeof(many)).toBe(message.MMSGHDR_LEN)
    expect(ffi.offsetof(many, 'msg_len')).toBe(message.MSG_LEN)
    expect(ffi.offsetof(type, 'msg_name')).toBe(message.MSG_NAME)
    expect(ffi.offsetof(type, 'msg_namelen')).toBe(message.MSG_NAMELEN)
    expect(ffi.offsetof(type, 'msg_iov')).toBe(message.MSG_IOV)
    expect(ffi.offsetof(type, 'msg_iovlen')).toBe(message.MSG_IOVLEN)
    expect(ffi.offsetof(type, 'msg_control')).toBe(message.MSG_CONTROL)
    expect(ffi.offsetof(type, 'msg_controllen')).toBe(message.MSG_CONTROLLEN)
    expect(ffi.offsetof(type, 'msg_flags')).toBe(message.MSG_FLAGS)
  })

  test('cmsghdr', () => {
    const type = ffi.struct({ cmsg_len: 'size_t', cmsg_level: 'int', cmsg_type: 'int' })
    expect(ffi.sizeof(type)).toBe(message.CMSG_HEADER_LEN)
    expect(ffi.offsetof(type, 'cmsg_level')).toBe(message.CMSG_LEVEL)
    expect(ffi.offsetof(type, 'cmsg_type')).toBe(message.CMSG_TYPE)
    expect([1, 2, 4].map(message.cmsgLength)).toEqual([17, 18, 20])
    expect([0, 1, 2, 4, 8, 9].map(message.cmsgSpace)).toEqual([16, 24, 24, 24, 24, 32])
  })

  test('sockaddr_in, sockaddr_in6', () => {
    const v4 = ffi.struct({
      family: 'uint16_t',
      port: 'uint16_t',
      address: 'uint32_t',
      zero: ffi.array('uint8_t', 8),
    })
    const v6 = ffi.struct({
      family: 'uint16_t',
      port: 'uint16_t',
      flow: 'uint32_t',
      address: ffi.array('uint8_t', 16),
      scope: 'uint32_t',
    })
    expect(ffi.sizeof(v4)).toBe(sockaddr.SOCKADDR_IN_LEN)
    expect(ffi.sizeof(v6)).toBe(sockaddr.SOCKADDR_IN6_LEN)
    expect(ffi.offsetof(v4, 'port')).toBe(sockaddr.SIN_PORT)
    expect(ffi.offsetof(v6, 'port')).toBe(sockaddr.SIN_PORT)
    expect(ffi.offsetof(v4, 'address')).toBe(sockaddr.SIN_ADDR)
    expect(ffi.offsetof(v6, 'address')).toBe(sockaddr.SIN6_ADDR)
  })

  test('pollfd, ifreq', () => {
    const poll = ffi.struct({ fd: 'int', events: 'short', revents: 'short' })
    expect(ffi.sizeof(poll)).toBe(pollfd.POLLFD_LEN)
    expect(ffi.offsetof(poll, 'events')).toBe(pollfd.POLL_EVENTS)
    expect(ffi.offsetof(poll, 'revents')).toBe(pollfd.POLL_REVENTS)
    // The union's largest member is ifmap: two longs, a short, three octets.
    const map = ffi.struct({ start: 'long', end: 'long', address: 'ushort', rest: ffi.array('uint8_t', 3) })
    const request = ffi.struct({ name: ffi.array('char', ifreq.IFNAMSIZ), union: map })
    expect(ffi.sizeof(request)).toBe(ifreq.IFREQ_LEN)
    expect(ffi.offsetof(request, 'union')).toBe(ifreq.IFR_FLAGS)
  })

  test('IMB_JOB, up to what releases of libIPSec_MB have in common', () => {
    const type = ffi.struct({
      enc_keys: 'uintptr_t',
      dec_keys: 'uintptr_t',
      key_len: 'uint64_t',
      src: 'uintptr_t',
      dst: 'uintptr_t',
      cipher_offset: 'uint64_t',
      cipher_len: 'uint64_t',
      hash_offset: 'uint64_t',
      hash_len: 'uint64_t',
      iv: 'uintptr_t',
      iv_len: 'uint64_t',
      tag: 'uintptr_t',
      tag_len: 'uint64_t',
      hash_fields: ffi.array('uintptr_t', 3),
      status: 'int',
      cipher_mode: 'int',
      direction: 'int',
      hash_alg: 'int',
      order: 'int',
      user_data: 'uintptr_t',
    })
    for (const [field, at] of [
      ['enc_keys', job.JOB_ENC_KEYS],
      ['dec_keys', job.JOB_DEC_KEYS],
      ['key_len', job.JOB_KEY_LEN],
      ['src', job.JOB_SRC],
      ['dst', job.JOB_DST],
      ['cipher_offset', job.JOB_CIPHER_OFFSET],
      ['cipher_len', job.JOB_CIPHER_LEN],
      ['hash_offset', job.JOB_HASH_OFFSET],
      ['hash_len', job.JOB_HASH_LEN],
      ['iv', job.JOB_IV],
      ['iv_len', job.JOB_IV_LEN],
      ['tag', job.JOB_TAG],
      ['tag_len', job.JOB_TAG_LEN],
      ['hash_fields', job.JOB_HASH_FIELDS],
      ['status', job.JOB_STATUS],
      ['cipher_mode', job.JOB_CIPHER_MODE],
      ['direction', job.JOB_DIRECTION],
      ['hash_alg', job.JOB_HASH_ALG],
      ['order', job.JOB_ORDER],
    ] as const)
      expect(ffi.offsetof(type, field), field).toBe(at)
    expect(ffi.sizeof(type)).toBeLessThanOrEqual(job.JOB_LEN_MIN)
  })

  test('ioctl numbers are those of _IOW and _IOR', () => {
    const encode = (direction: number, n: number): number =>
      ((direction << 30) | (4 << 16) | ('T'.charCodeAt(0) << 8) | n) >>> 0
    const [write, read] = [1, 2]
    expect(ifreq.TUNSETIFF).toBe(encode(write, 202))
    expect(ifreq.TUNSETOFFLOAD).toBe(encode(write, 208))
    expect(ifreq.TUNSETVNETHDRSZ).toBe(encode(write, 216))
    expect(ifreq.TUNGETFEATURES).toBe(encode(read, 207))
    expect(ifreq.TUNGETIFF).toBe(encode(read, 210))
  })
})

test('a socket address is family in host order, port and address in network order', () => {
  expect(sockaddr.sockaddr(Uint8Array.of(192, 0, 2, 1), 4500)).toEqual(
    Uint8Array.of(2, 0, 0x11, 0x94, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0),
  )
  const v6 = sockaddr.sockaddr(new Uint8Array(16).fill(0x20), 500)
  expect(v6.length).toBe(28)
  expect([...v6.subarray(0, 9)]).toEqual([10, 0, 0x01, 0xf4, 0, 0, 0, 0, 0x20])
  expect([...v6.subarray(24)]).toEqual([0, 0, 0, 0])
})

test('64-bit fields are two words, low word first, for addresses on both sides of 2^32', () => {
  const words = new Uint32Array(2)
  const view = new DataView(words.buffer)
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 0x7f12_3456_789a, 2 ** 53 - 1]) {
    setWord64(words, 0, value)
    expect(view.getBigUint64(0, true)).toBe(BigInt(value))
  }
})

test('native memory hands out aligned, zeroed areas and is bounded', () => {
  const memory = new NativeMemory(40)
  expect(memory.address % 8).toBe(0)
  expect([memory.take(5), memory.take(16), memory.take(16)]).toEqual([0, 8, 24])
  expect(() => memory.take(1)).toThrow(/full/)
  expect(memory.bytes.every((octet) => octet === 0)).toBe(true)
})
