import { createCipheriv } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatIkeV2 } from '../../src/daemon/key-log/ike-tables.js'
import { PcapWriter } from '../../src/wire/pcap/capture-writer.js'
import { LINKTYPE } from '../../src/wire/pcap/link-layer.js'
import { udpPacket } from '../unit/ipsec/fixtures.js'
import { tsharkFields, whyNoTshark } from './tshark.js'

const why = whyNoTshark()
if (why) console.log(`a line of ikev2_decryption_table read by tshark: ${why}`)

const initiatorSpi = Buffer.from('1122334455667788', 'hex')
const responderSpi = Buffer.from('99aabbccddeeff00', 'hex')
const INITIAL_CONTACT = 16_384

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-ikev2-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** An IKE_AUTH request with INITIAL_CONTACT in its SK payload (RFC 7296 section 3.14, RFC 5282), from port 500. */
function request(sk: Buffer): Buffer {
  const notify = Buffer.from([0, 0, 0, 8, 0, 0, INITIAL_CONTACT >>> 8, 0, 0])
  const iv = Buffer.alloc(8, 1)
  const length = 4 + iv.length + notify.length + 16
  const head = Buffer.alloc(32)
  initiatorSpi.copy(head, 0)
  responderSpi.copy(head, 8)
  head.set([46, 0x20, 35, 0x08], 16)
  head.writeUInt32BE(1, 20)
  head.writeUInt32BE(28 + length, 24)
  head[28] = 41
  head.writeUInt16BE(length, 30)
  const salt = sk.subarray(-4)
  const key = sk.subarray(0, -4)
  const cipher = createCipheriv(`aes-${key.length * 8}-gcm` as 'aes-128-gcm', key, Buffer.concat([salt, iv]))
  cipher.setAAD(head)
  const sealed = Buffer.concat([cipher.update(notify), cipher.final()])
  const message = Buffer.concat([head, iv, sealed, cipher.getAuthTag()])
  const packet = udpPacket('192.0.2.1', '192.0.2.2', message.length, {
    sourcePort: 500,
    destinationPort: 500,
  })
  message.copy(packet, 28)
  packet.writeUInt16BE(0, 26)
  return packet
}

test.skipIf(why !== undefined).each([20, 36])(
  'our line opens an IKEv2 message for tshark, SK_e of %i octets',
  (length) => {
    const ei = Buffer.alloc(length, 0x33)
    const packet = request(ei)
    const pieces: Buffer[] = []
    const writer = new PcapWriter((b) => pieces.push(Buffer.from(b)), LINKTYPE.RAW)
    writer.packet(0, 0n, packet, 0, packet.length)
    writer.flush()
    const capture = join(folder, `${length}.pcap`)
    writeFileSync(capture, Buffer.concat(pieces))
    const keys = join(folder, `keys-${length}`)
    mkdirSync(keys)
    const none = new Uint8Array(0)
    const line = formatIkeV2({
      version: 2,
      initiatorSpi,
      responderSpi,
      interim: false,
      encryption: 20,
      integrity: 0,
      ei,
      er: Buffer.alloc(length, 0x44),
      ai: none,
      ar: none,
    })
    expect(tsharkFields(capture, keys, 'isakmp', 'isakmp.notify.msgtype')).toEqual([])
    writeFileSync(join(keys, 'ikev2_decryption_table'), `${line}\n`)
    expect(tsharkFields(capture, keys, 'isakmp', 'isakmp.notify.msgtype')).toEqual([String(INITIAL_CONTACT)])
  },
)
