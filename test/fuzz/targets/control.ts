import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex } from '../../../src/bytes/octets.js'
import { type Controlled, controlCommands, EVENTS } from '../../../src/daemon/control/commands.js'
import { ControlServer } from '../../../src/daemon/control/server.js'
import { emitMessage, parseMessage } from '../../../src/daemon/control/vici-message.js'
import {
  emitPacket,
  PACKET,
  PACKET_MAX,
  PacketSplitter,
  parsePacket,
} from '../../../src/daemon/control/vici-packet.js'
import { listConns, listSas, UniqueIds } from '../../../src/daemon/control/vici-status.js'
import { ControlError, WireError } from '../../../src/errors.js'
import { STATUS } from '../../unit/control/fake-gateway.js'
import { mutateOctets } from '../mutate/octets.js'
import { emitNode, mutateTree, type Node } from '../mutate/tree.js'
import { viciTree } from '../mutate/vici.js'
import type { Random } from '../random.js'
import type { Target } from '../target.js'
import { must } from '../trace.js'

const REQUESTS: readonly Node[] = [
  viciTree(PACKET.CMD_REQUEST, 'version', {}),
  viciTree(PACKET.CMD_REQUEST, 'stats', {}),
  viciTree(PACKET.CMD_REQUEST, 'get-conns', {}),
  viciTree(PACKET.CMD_REQUEST, 'list-sas', { ike: 'dom0-b', noblock: 'yes' }),
  viciTree(PACKET.CMD_REQUEST, 'list-conns', { ike: 'dom0-b' }),
  viciTree(PACKET.CMD_REQUEST, 'initiate', { ike: 'dom0-b', child: 'migration', timeout: '-1' }),
  viciTree(PACKET.CMD_REQUEST, 'terminate', { ike: 'dom0-b', timeout: '10', force: 'yes' }),
  viciTree(PACKET.CMD_REQUEST, 'rekey', { child: 'migration', 'ike-id': '1' }),
  viciTree(PACKET.CMD_REQUEST, 'sallyport-status', {}),
  viciTree(PACKET.CMD_REQUEST, 'load-conn', {
    a: { children: { m: { local_ts: ['10.0.0.0/8', 'dynamic'] } } },
  }),
  viciTree(PACKET.EVENT_REGISTER, 'list-sa', {}),
  viciTree(PACKET.EVENT_REGISTER, 'sallyport-status', {}),
  viciTree(PACKET.EVENT_UNREGISTER, 'list-sa', {}),
  viciTree(PACKET.EVENT, 'list-sa', { 'a-1': { state: 'UP', 'child-sas': { x: { list: ['1', '2'] } } } }),
  viciTree(PACKET.CMD_RESPONSE, undefined, { success: 'no', errmsg: 'x' }),
]
const corpus = REQUESTS.map(emitNode)

function hostilePacket(random: Random): Uint8Array {
  return random.oneIn(4)
    ? mutateOctets(random, random.pick(corpus), corpus)
    : emitNode(mutateTree(random, random.pick(REQUESTS), { others: REQUESTS, lies: random.oneIn(2) }))
}

/** A stream of packets with their lengths, of which some lie. */
function stream(random: Random, packets: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    packets.flatMap((p) => {
      const head = Buffer.alloc(4)
      head.writeUInt32BE(random.oneIn(10) ? random.edge(32, p.length) : p.length)
      return random.oneIn(20) ? [p] : [head, p]
    }),
  )
}

export const VICI: Target = {
  name: 'vici',
  about: 'packets and messages of the control socket, and their stream in any pieces',
  prepare() {
    const ids = new UniqueIds()
    return {
      run(random, trace) {
        const packets = Array.from({ length: 1 + random.below(3) }, () => hostilePacket(random))
        for (const packet of packets) {
          trace.input(packet)
          const parsed = trace.parse('packet', WireError, () => parsePacket(packet))
          trace.parse('message', WireError, () => parseMessage(packet))
          // What is no UTF-8 becomes replacement characters, which are longer.
          if (parsed === undefined || JSON.stringify(parsed.message).includes('\ufffd')) continue
          const octets = emitMessage(parsed.message)
          must(hex(emitMessage(parseMessage(octets))) === hex(octets), 'the message changes on its way back')
          const { ike } = parsed.message
          if (typeof ike === 'string')
            emitPacket(PACKET.EVENT, 'list-sa', { all: listSas(STATUS, ids, ike).length.toString() })
        }
        const whole = stream(random, packets)
        const splitter = new PacketSplitter()
        const cut: Uint8Array[] = []
        trace.input(whole)
        trace.parse('stream', WireError, () => {
          for (let at = 0; at < whole.length; ) {
            const n = 1 + random.length(64)
            cut.push(...splitter.push(whole.subarray(at, at + n)))
            at += n
          }
        })
        for (const p of cut) must(p.length >= 1 && p.length <= PACKET_MAX, 'a packet out of bounds')
        const again = new PacketSplitter()
        const one: Uint8Array[] = []
        trace.parse('stream at once', WireError, () => one.push(...again.push(whole)))
        const common = Math.min(one.length, cut.length)
        for (let i = 0; i < common; i++) must(hex(one[i]!) === hex(cut[i]!), 'pieces make other packets')
      },
    }
  },
}

/** A daemon that does nothing, at once. */
const idle: Controlled = {
  version: '1.2.3',
  status: () => STATUS,
  async initiate(peer) {
    if (peer !== undefined && peer !== 'dom0-b') throw new ControlError(`no peer is called ${peer}`)
  },
  rekey: (peer) => (peer === 'dom0-b' ? 1 : 0),
  async terminate() {
    throw new ControlError('there are no SAs')
  },
  shutdown() {},
}

const HONEST = emitPacket(PACKET.CMD_REQUEST, 'version')
/** Longest wait for an answer that must come. */
const ANSWER_MS = 5_000

export const CONTROL_SOCKET: Target = {
  name: 'control-socket',
  about: 'the control server on a real socket: hostile clients, and honest ones behind them',
  weight: 0.5,
  async prepare() {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-fuzz-'))
    const path = join(folder, 'control.vici')
    const faults: string[] = []
    const server = await ControlServer.open({
      path,
      commands: controlCommands(idle),
      events: EVENTS,
      log: (_, message, fields) => {
        if (message === 'control command failed') faults.push(JSON.stringify(fields))
      },
    })
    return {
      async run(random, trace) {
        const packets = Array.from({ length: 1 + random.below(5) }, () => hostilePacket(random))
        const octets = stream(random, packets)
        trace.input(octets)
        await converse(path, pieces(random, octets), random.oneIn(4))
        trace.input(HONEST)
        const answer = await converse(path, [HONEST], false, true)
        const [packet] = [...new PacketSplitter().push(answer)]
        must(packet !== undefined && parsePacket(packet).message.version === '1.2.3', 'no answer any more')
        must(faults.length === 0, faults.join())
        listConns(STATUS)
      },
      async close() {
        await server.close()
        rmSync(folder, { recursive: true })
      },
    }
  },
}

function pieces(random: Random, octets: Buffer): Buffer[] {
  if (random.oneIn(2)) return [octets]
  const at = random.below(octets.length)
  return [octets.subarray(0, at), octets.subarray(at)]
}

/** Sends, and reads until the server has nothing more to say. @param first it is enough to have read something */
function converse(
  path: string,
  send: readonly Buffer[] | readonly Uint8Array[],
  abrupt: boolean,
  first = false,
): Promise<Buffer> {
  return new Promise((done, fail) => {
    const read: Buffer[] = []
    const socket = createConnection(path)
    const late = setTimeout(() => fail(new Error('the control server does not answer')), ANSWER_MS)
    const end = (): void => {
      clearTimeout(late)
      socket.destroy()
      done(Buffer.concat(read))
    }
    socket.on('error', end)
    socket.on('close', end)
    socket.on('data', (chunk: Buffer) => {
      read.push(chunk)
      if (first) end()
    })
    for (const piece of send) socket.write(piece)
    if (abrupt) setImmediate(end)
    else if (!first) socket.end()
  })
}

export const control: readonly Target[] = [VICI, CONTROL_SOCKET]
