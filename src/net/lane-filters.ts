import { SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF, SOL_SOCKET } from '../ffi/constants.js'
import { libc } from '../ffi/libc.js'
import { NativeMemory, setWord64 } from '../ffi/native-memory.js'
import { systemError } from './system-error.js'

// Which lane gets a packet from the underlay: the kernel looks at its SPI, of which the remainder by the number of lanes is
// the lane's. Classic BPF (linux/filter.h), which every kernel has and no privilege is needed for.

/** One instruction: operation, jumps if true and if false, constant. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number]

// BPF_LD, BPF_LDX, BPF_ALU, BPF_JMP, BPF_RET with their modes.
const LOAD_WORD = 0x20
const LOAD_WORD_AT_X = 0x40
const X_IS_HEADER_LENGTH = 0xb1
const REMAINDER = 0x94
const JUMP_IF_EQUAL = 0x15
const RETURN = 0x06
const RETURN_A = 0x16
const ALL = 0xffff_ffff
const INSTRUCTION_LEN = 8
const FPROG_LEN = 16

/**
 * For the sockets on one UDP port: the index of the one that a datagram is for. Its payload begins at 0. IKE (the non-ESP
 * marker is zero) goes to lane 0, and so does what is too short to have an SPI, as a load beyond the end returns 0.
 */
export const udpLaneProgram = (lanes: number): Instruction[] => [
  [LOAD_WORD, 0, 0, 0],
  [REMAINDER, 0, 0, lanes],
  [RETURN_A, 0, 0, 0],
]

/**
 * For a lane's raw socket, of which each gets every packet: whether it is this lane's.
 * @param family a raw IPv4 socket sees the IP header, an IPv6 one does not
 * @param spiAt octets from the ESP or AH header to the SPI: 0 or 4
 */
export function rawLaneProgram(family: 4 | 6, spiAt: number, lane: number, lanes: number): Instruction[] {
  const load: Instruction[] =
    family === 4
      ? [
          [X_IS_HEADER_LENGTH, 0, 0, 0],
          [LOAD_WORD_AT_X, 0, 0, spiAt],
        ]
      : [[LOAD_WORD, 0, 0, spiAt]]
  return [
    ...load,
    [REMAINDER, 0, 0, lanes],
    [JUMP_IF_EQUAL, 0, 1, lane],
    [RETURN, 0, 0, ALL],
    [RETURN, 0, 0, 0],
  ]
}

/** Spreads the datagrams of a port over its sockets, which were bound with SO_REUSEPORT in the order of their lanes. */
export function steerUdp(fd: number, lanes: number): void {
  attach(fd, SO_ATTACH_REUSEPORT_CBPF, udpLaneProgram(lanes), 'SO_ATTACH_REUSEPORT_CBPF')
}

/** Makes a raw socket hear its lane's packets only. */
export function steerRaw(fd: number, family: 4 | 6, spiAt: number, lane: number, lanes: number): void {
  attach(fd, SO_ATTACH_FILTER, rawLaneProgram(family, spiAt, lane, lanes), 'SO_ATTACH_FILTER')
}

function attach(fd: number, option: number, program: readonly Instruction[], name: string): void {
  const memory = new NativeMemory(INSTRUCTION_LEN * program.length)
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    const at = i * INSTRUCTION_LEN
    memory.view.setUint16(at, code, true)
    memory.view.setUint8(at + 2, jt)
    memory.view.setUint8(at + 3, jf)
    memory.view.setUint32(at + 4, k, true)
  }
  // struct sock_fprog: how many, and where.
  const fprog = new Uint8Array(FPROG_LEN)
  const words = new Uint32Array(fprog.buffer)
  words[0] = program.length
  setWord64(words, 2, memory.address)
  const r = libc().setsockoptBytes(fd, SOL_SOCKET, option, fprog)
  if (r < 0) throw systemError('setsockopt', -r, `cannot set ${name}`, 'Set dataplane.lanes to 1')
}
