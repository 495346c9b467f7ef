import { afterEach, describe, expect, test } from 'vitest'
import { IKE_PORT, IkeSockets } from '../../../src/daemon/ike-sockets.js'
import { SystemError } from '../../../src/errors.js'
import { nativeCalls } from '../../../src/ffi/koffi.js'
import type { Endpoint } from '../../../src/ike/environment.js'
import { formatIp, type IpAddress, parseIp } from '../../../src/wire/ip-address.js'

const A = parseIp('127.88.0.1')!
const B = parseIp('127.88.0.2')!

interface Seen {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly text: string
}

let opened: IkeSockets[] = []
async function open(...locals: IpAddress[]) {
  const seen: Seen[] = []
  const sockets = await IkeSockets.open({
    locals,
    fwmark: 0x5a11,
    receive: (local, remote, message) => seen.push({ local, remote, text: Buffer.from(message).toString() }),
    trouble: () => undefined,
  })
  opened.push(sockets)
  return { sockets, seen }
}
afterEach(async () => {
  for (const sockets of opened) await sockets.close()
  opened = []
})

// Loopback addresses of nobody else, the real port: needs root.
describe.skipIf(process.geteuid?.() !== 0 || !nativeCalls().available)('IKE sockets', () => {
  test('carry messages between port 500 of two addresses', async () => {
    const { sockets, seen } = await open(A, B)
    sockets.send({ address: A, port: IKE_PORT }, { address: B, port: IKE_PORT }, Buffer.from('hello'))
    await expect.poll(() => seen.length).toBe(1)
    expect(seen[0]).toEqual({
      local: { address: B, port: IKE_PORT },
      remote: { address: A, port: IKE_PORT },
      text: 'hello',
    })
    await sockets.drain(1000)
  })

  test('a port in use is named, and nothing stays open', async () => {
    await open(B)
    const error = await IkeSockets.open({
      locals: [A, B],
      fwmark: 0,
      receive: () => undefined,
      trouble: () => undefined,
    }).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(SystemError)
    expect((error as Error).message).toMatch(/UDP port 500 of 127\.88\.0\.2/)
    await open(A)
  })

  test('an address that no interface has is named', async () => {
    const nobody = parseIp('192.0.2.77')!
    await expect(open(nobody)).rejects.toThrow(new RegExp(formatIp(nobody)))
  })

  test('sending from an address without socket, or after the end, does nothing', async () => {
    const { sockets, seen } = await open(A)
    sockets.send({ address: B, port: IKE_PORT }, { address: A, port: IKE_PORT }, Buffer.from('x'))
    await sockets.close()
    sockets.send({ address: A, port: IKE_PORT }, { address: A, port: IKE_PORT }, Buffer.from('x'))
    expect(seen).toEqual([])
  })
})
