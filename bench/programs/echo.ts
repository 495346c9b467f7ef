import { writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { IOVEC_LEN, writeIovec } from '../../src/ffi/layout/iovec.js'
import {
  MMSGHDR_LEN,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_LEN,
  MSG_NAME,
  MSG_NAMELEN,
} from '../../src/ffi/layout/message.js'
import { SOCKADDR_IN_LEN } from '../../src/ffi/layout/sockaddr.js'
import { libc } from '../../src/ffi/libc.js'
import { NativeMemory, setWord64 } from '../../src/ffi/native-memory.js'
import { address, datagramSocket, must, readFully, streamAccept, writeFully } from './sockets.js'

// Sends back what it gets, until it is killed or its peer goes:
//   echo --protocol udp|tcp --listen ADDRESS --port PORT --octets N
// Prints "listening".

const { values } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'udp' },
    listen: { type: 'string', default: '' },
    port: { type: 'string', default: '7011' },
    octets: { type: 'string', default: '1' },
  },
})
const octets = Number(values.octets)
const at = address(values.listen, Number(values.port))
const ready = (): void => {
  writeSync(1, 'listening\n')
}
const c = libc()

function tcp(): void {
  const memory = new NativeMemory(octets)
  const fd = streamAccept(at, ready)
  for (;;) {
    readFully(fd, memory.address, octets)
    writeFully(fd, memory.address, octets)
  }
}

/** One message header serves both ways: a receive fills in who sent it, and that is who the answer goes to. */
function udp(): void {
  const room = 2048
  const memory = new NativeMemory(MMSGHDR_LEN + IOVEC_LEN + SOCKADDR_IN_LEN + room)
  const [header, vector] = [memory.take(MMSGHDR_LEN), memory.take(IOVEC_LEN)]
  const [name, data] = [memory.take(SOCKADDR_IN_LEN), memory.take(room)]
  setWord64(memory.words, (header + MSG_NAME) / 4, memory.address + name)
  setWord64(memory.words, (header + MSG_IOV) / 4, memory.address + vector)
  setWord64(memory.words, (header + MSG_IOVLEN) / 4, 1)
  const fd = datagramSocket({ bind: at })
  ready()
  for (;;) {
    memory.view.setUint32(header + MSG_NAMELEN, SOCKADDR_IN_LEN, true)
    writeIovec(memory, vector, memory.address + data, room)
    must('recvmmsg', c.recvmmsg(fd, memory.address + header, 1, 0))
    writeIovec(memory, vector, memory.address + data, memory.view.getUint32(header + MSG_LEN, true))
    c.sendmmsg(fd, memory.address + header, 1, 0)
  }
}

if (values.protocol === 'tcp') tcp()
else udp()
