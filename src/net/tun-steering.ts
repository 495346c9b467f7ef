import { BPF_PROG_LOAD, BPF_PROG_TYPE_SOCKET_FILTER } from '../ffi/constants.js'
import { TUNSETSTEERINGEBPF } from '../ffi/layout/ifreq.js'
import { libc } from '../ffi/libc.js'
import { NativeMemory, setWord64 } from '../ffi/native-memory.js'
import { TCP } from '../wire/ip-protocol.js'

// Which queue of a TUN device a packet goes to. By itself the kernel moves a flow to the queue that its answers were last
// written to, and forgets that after three seconds: with every move packets could overtake each other. So the device gets a
// program that decides by the packet alone: by addresses and, for TCP, ports. Not by the ports of UDP, as large datagrams
// travel in fragments, which have none, beside small ones of the same flow that have them (network cards do the same).

/** struct bpf_insn: operation, destination and source register, offset, constant. */
type Instruction = readonly [code: number, registers: number, offset: number, k: number]

const R0 = 0
const R1 = 1
const R6 = 6
const R7 = 7
const R8 = 8
const reg = (destination: number, source: number): number => destination | (source << 4)

const MOVE = (d: number, s: number): Instruction => [0xbf, reg(d, s), 0, 0]
const MOVE_K = (d: number, k: number): Instruction => [0xb7, reg(d, 0), 0, k]
const XOR = (d: number, s: number): Instruction => [0xaf, reg(d, s), 0, 0]
const AND_K = (d: number, k: number): Instruction => [0x57, reg(d, 0), 0, k]
const RIGHT_K = (d: number, k: number): Instruction => [0x77, reg(d, 0), 0, k]
const LEFT_K = (d: number, k: number): Instruction => [0x67, reg(d, 0), 0, k]
/** 32 bits, the upper half becomes zero. */
const MULTIPLY32_K = (d: number, k: number): Instruction => [0x24, reg(d, 0), 0, k]
const RIGHT32_K = (d: number, k: number): Instruction => [0x74, reg(d, 0), 0, k]
// Loads from the packet into R0; R6 is the context. Beyond the packet's end the program ends with 0.
const BYTE = (at: number): Instruction => [0x30, 0, 0, at]
const HALF = (at: number): Instruction => [0x28, 0, 0, at]
const WORD = (at: number): Instruction => [0x20, 0, 0, at]
/** A word at R8 and more. */
const WORD_AT_R8: Instruction = [0x40, reg(R0, R8), 0, 0]
const JUMP_IF_NOT = (d: number, k: number, over: number): Instruction => [0x55, reg(d, 0), over, k]
const JUMP_IF = (d: number, k: number, over: number): Instruction => [0x15, reg(d, 0), over, k]
const JUMP = (over: number): Instruction => [0x05, 0, over, 0]
const EXIT: Instruction = [0x95, 0, 0, 0]

/** An odd number without pattern (Knuth's multiplicative hash): the upper bits of a product depend on all bits. */
const GOLDEN = 0x9e37_79b1 | 0

/**
 * Mixes R0 into R7. Multiplying alone would not do: two hosts' addresses often differ in the same bits, and the kernel gives
 * out ports of one parity.
 */
const MIX: readonly Instruction[] = [
  XOR(R7, R0),
  MULTIPLY32_K(R7, GOLDEN),
  MOVE(R0, R7),
  RIGHT32_K(R0, 15),
  XOR(R7, R0),
]
const mix = (at: number): Instruction[] => [WORD(at), ...MIX]

/** Returns a hash of the flow, of which the kernel takes the remainder by the number of queues. */
export function steeringProgram(): Instruction[] {
  const finish: Instruction[] = [MULTIPLY32_K(R7, GOLDEN), RIGHT32_K(R7, 16), MOVE(R0, R7), EXIT]
  // IPv4: ports of a TCP packet that is no fragment, behind the options.
  const ports4: Instruction[] = [BYTE(0), AND_K(R0, 15), LEFT_K(R0, 2), MOVE(R8, R0), WORD_AT_R8, ...MIX]
  const whole4: Instruction[] = [HALF(6), AND_K(R0, 0x3fff), JUMP_IF_NOT(R0, 0, ports4.length), ...ports4]
  const v4: Instruction[] = [...mix(12), ...mix(16), BYTE(9), JUMP_IF_NOT(R0, TCP, whole4.length), ...whole4]
  const ports6: Instruction[] = mix(40)
  const v6: Instruction[] = [
    ...[8, 12, 16, 20, 24, 28, 32, 36].flatMap(mix),
    BYTE(6),
    JUMP_IF_NOT(R0, TCP, ports6.length),
    ...ports6,
  ]
  return [
    MOVE(R6, R1),
    MOVE_K(R7, 0),
    BYTE(0),
    RIGHT_K(R0, 4),
    JUMP_IF(R0, 6, v4.length + 1),
    ...v4,
    JUMP(v6.length),
    ...v6,
    ...finish,
  ]
}

const INSTRUCTION_LEN = 8
/** Fields of union bpf_attr for BPF_PROG_LOAD that are used; the rest is zero. */
const ATTRIBUTES_LEN = 72
const LICENSE = 'MIT\0'

/**
 * Attaches the program to a device.
 * @param fd descriptor of any of its queues
 * @returns 0, or the errno of a kernel that has no eBPF or refuses it
 */
export function steerTun(fd: number): number {
  const program = steeringProgram()
  const memory = new NativeMemory(INSTRUCTION_LEN * program.length + 8 + ATTRIBUTES_LEN)
  const { view, words, bytes, address } = memory
  for (const [i, [code, registers, offset, k]] of program.entries()) {
    const at = i * INSTRUCTION_LEN
    view.setUint8(at, code)
    view.setUint8(at + 1, registers)
    view.setInt16(at + 2, offset, true)
    view.setInt32(at + 4, k, true)
  }
  const license = INSTRUCTION_LEN * program.length
  for (let i = 0; i < LICENSE.length; i++) bytes[license + i] = LICENSE.charCodeAt(i)
  const attributes = license + 8
  const word = attributes / 4
  words[word] = BPF_PROG_TYPE_SOCKET_FILTER
  words[word + 1] = program.length
  setWord64(words, word + 2, address)
  setWord64(words, word + 4, address + license)
  const c = libc()
  const programFd = c.bpf(BPF_PROG_LOAD, address + attributes, ATTRIBUTES_LEN)
  if (programFd < 0) return -programFd
  // The device keeps the program; the descriptor is not needed any more.
  const argument = new Uint8Array(Int32Array.of(programFd).buffer)
  const r = c.ioctlPointer(fd, TUNSETSTEERINGEBPF, argument)
  c.close(programFd)
  return r < 0 ? -r : 0
}
