import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from '../../../src/daemon/control/client.js'
import { CLIENTS_MAX, type Command, ControlServer } from '../../../src/daemon/control/server.js'
import { emitPacket, PACKET, PacketSplitter, parsePacket } from '../../../src/daemon/control/vici-packet.js'
import { ControlError } from '../../../src/errors.js'

let folder: string
let path: string
let server: ControlServer
let log: string[]

const commands: Record<string, Command> = {
  version: () => ({ daemon: 'sallyport', version: '0', sysname: 'Linux', release: '0', machine: 'x' }),
  echo: (request) => request,
  fail: () => {
    throw new ControlError('no peer is called x')
  },
  bug: () => {
    throw new TypeError('secret detail')
  },
  count: async (_, emit) => {
    for (let i = 0; i < 3; i++) await emit('tick', { i: String(i) })
    return {}
  },
  large: async (_, emit) => {
    for (let i = 0; i < 200; i++) await emit('tick', { text: 'x'.repeat(60_000) })
    return {}
  },
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-control-'))
  path = join(folder, 'control')
  log = []
  server = await open()
})
afterEach(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const open = () =>
  ControlServer.open({
    path,
    commands,
    events: ['tick'],
    stallMs: 300,
    log: (_level, message) => log.push(message),
  })

/** A connection without client library; resolves when the server ends it. */
async function raw(octets: Uint8Array): Promise<Socket> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  socket.write(octets)
  return socket
}
const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.destroyed) return resolve()
    socket.resume()
    socket.once('close', () => resolve())
  })

describe('control server', () => {
  test('only its owner can open it, and it goes with the server', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await server.close()
    expect(existsSync(path)).toBe(false)
    server = await open()
  })

  test('answers commands, refusals and unknown commands', async () => {
    const client = await ControlClient.connect(path)
    expect(await client.request('echo', { a: { b: ['c'] } })).toEqual({ a: { b: ['c'] } })
    await expect(client.request('fail')).rejects.toThrow('no peer is called x')
    await expect(client.request('nothing')).rejects.toThrow(/does not know the command nothing/)
    await expect(client.request('toString')).rejects.toThrow(/does not know the command/)
    client.close()
  })

  test('a fault of ours is told without its detail', async () => {
    const client = await ControlClient.connect(path)
    await expect(client.request('bug')).rejects.toThrow('internal error; see the log')
    expect(log).toContain('control command failed')
    expect(await client.request('echo', { still: 'there' })).toEqual({ still: 'there' })
    client.close()
  })

  test('events reach who has registered for them, in order', async () => {
    const client = await ControlClient.connect(path)
    expect(await client.stream('count', 'tick')).toEqual([{ i: '0' }, { i: '1' }, { i: '2' }])
    expect(await client.request('count')).toEqual({})
    await expect(client.stream('count', 'tock')).rejects.toThrow(/does not know the event tock/)
    expect(await client.stream('large', 'tick')).toHaveLength(200)
    client.close()
  })

  test('requests sent ahead are answered one after another', async () => {
    const packets = Array.from({ length: 100 }, (_, i) =>
      emitPacket(PACKET.CMD_REQUEST, 'echo', { i: String(i) }),
    )
    const socket = await raw(Buffer.concat(packets))
    const splitter = new PacketSplitter()
    const answers: string[] = []
    await new Promise<void>((resolve) =>
      socket.on('data', (chunk) => {
        for (const packet of splitter.push(chunk)) answers.push(String(parsePacket(packet).message.i))
        if (answers.length === 100) resolve()
      }),
    )
    expect(answers).toEqual(packets.map((_, i) => String(i)))
    socket.destroy()
  })
})

describe('a client that misbehaves costs itself its connection', () => {
  test.each<[string, Uint8Array]>([
    ['a length of zero', Uint8Array.of(0, 0, 0, 0)],
    ['a length without bound', Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    ['an unknown packet type', Uint8Array.of(0, 0, 0, 1, 99)],
    ['a packet that only a server sends', emitPacket(PACKET.EVENT, 'tick')],
    ['a message cut off', Uint8Array.of(0, 0, 0, 5, 0, 1, 0x61, 3, 9)],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ])('%s', async (_, octets) => {
    const socket = await raw(octets)
    await closed(socket)
    const client = await ControlClient.connect(path)
    expect(await client.request('version')).toMatchObject({ daemon: 'sallyport' })
    client.close()
  })

  test('more clients than allowed are refused, and room is made again', async () => {
    const sockets: Socket[] = []
    for (let i = 0; i < CLIENTS_MAX; i++) sockets.push(await raw(new Uint8Array()))
    await closed(await raw(new Uint8Array()))
    expect(log).toContain('control client refused: too many')
    for (const socket of sockets) socket.destroy()
    await Promise.all(sockets.map(closed))
    await expect
      .poll(async () => (await ControlClient.connect(path)).request('version').catch(() => undefined))
      .toBeDefined()
  })

  test('one that does not read is dropped', async () => {
    const socket = await raw(emitPacket(PACKET.EVENT_REGISTER, 'tick'))
    socket.pause()
    socket.write(emitPacket(PACKET.CMD_REQUEST, 'large'))
    await expect.poll(() => log).toContain('control client dropped: it does not read')
    socket.destroy()
  })

  test('one that does not read events for all is dropped before they fill the memory', async () => {
    const socket = await raw(emitPacket(PACKET.EVENT_REGISTER, 'tick'))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.pause()
    for (let i = 0; i < 200; i++) server.broadcast('tick', { text: 'x'.repeat(60_000) })
    expect(log).toContain('control client dropped: it does not read')
    socket.destroy()
  })

  test('one that sends half a packet is dropped', async () => {
    await closed(await raw(Uint8Array.of(0, 0, 0, 9, 0)))
  })
})

describe('the socket file', () => {
  test('a second daemon on the path is refused', async () => {
    await expect(open()).rejects.toThrow(/another daemon answers on the control socket/)
    expect(existsSync(path)).toBe(true)
  })

  test('what a killed daemon left is replaced', async () => {
    await server.close()
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await promisify(execFile)(process.execPath, ['-e', script]).catch(() => undefined)
    expect(existsSync(path)).toBe(true)
    server = await open()
    const client = await ControlClient.connect(path)
    expect(await client.request('version')).toMatchObject({ daemon: 'sallyport' })
    client.close()
  })

  test('a file that is no socket is left alone', async () => {
    await server.close()
    writeFileSync(path, 'precious')
    await expect(open()).rejects.toThrow(/is no socket/)
    expect(statSync(path).size).toBe(8)
    rmSync(path)
    server = await open()
  })

  test('a folder that does not exist is named', async () => {
    const options = { commands, events: [], log: () => undefined }
    await expect(ControlServer.open({ ...options, path: join(folder, 'none', 'control') })).rejects.toThrow(
      /directory does not exist/,
    )
  })
})

describe('control client', () => {
  test('says when nobody answers', async () => {
    await expect(ControlClient.connect(join(folder, 'none'))).rejects.toThrow(/no daemon answers there/)
  })

  test('says when the daemon goes away, answers nonsense, or not at all', async () => {
    const other = join(folder, 'other')
    const answers: ((socket: Socket) => void)[] = [
      (socket) => socket.destroy(),
      (socket) => socket.write(Uint8Array.of(0, 0, 0, 1, 99)),
      () => undefined,
    ]
    const odd = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => answers.shift()?.(socket))
    })
    await new Promise<void>((resolve) => odd.listen(other, resolve))
    for (const message of [/closed the control connection/, /no vici/, /did not answer within 0.1 s/]) {
      const client = await ControlClient.connect(other)
      await expect(client.request('version', {}, 100)).rejects.toThrow(message)
      client.close()
    }
    odd.close()
  })
})
