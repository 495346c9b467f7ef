import { createCipheriv, createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { SECRET_DIGITS, secretText } from '../wire/secrets.js'

// Sends a memory image over TCP, as the sending side of a migration does, and knows nothing of protection:
//   send-image --from ADDRESS --to ADDRESS --port PORT --size OCTETS --seed HEX [--tag TEXT --secrets N] [--pages FILE]
// The image is made from the seed: random pages, every eighth one zero, with N strings planted in it.

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    to: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '8002' },
    size: { type: 'string', default: '0' },
    seed: { type: 'string', default: '00'.repeat(32) },
    tag: { type: 'string', default: '' },
    secrets: { type: 'string', default: '0' },
    pages: { type: 'string' },
  },
})
const PAGE = 4096
const size = Number(values.size)

function makeImage(): Buffer {
  const cipher = createCipheriv('aes-256-ctr', Buffer.from(values.seed, 'hex'), Buffer.alloc(16))
  const image = cipher.update(Buffer.alloc(size))
  for (let at = 0; at < size; at += 8 * PAGE) image.fill(0, at, Math.min(at + PAGE, size))
  const secrets = Number(values.secrets)
  const length = values.tag.length + 1 + SECRET_DIGITS
  const distance = secrets === 0 ? 0 : Math.floor(size / secrets)
  for (let i = 0; i < secrets; i++) {
    const within = (i * 7919) % Math.max(1, distance - length)
    image.write(secretText(values.tag, i), i * distance + within, 'latin1')
  }
  return image
}

const image = makeImage()
if (values.pages !== undefined) {
  const digests: Buffer[] = []
  for (let at = 0; at < size; at += PAGE)
    digests.push(
      createHash('sha1')
        .update(image.subarray(at, at + PAGE))
        .digest(),
    )
  writeFileSync(values.pages, Buffer.concat(digests))
}
const sha256 = createHash('sha256').update(image).digest('hex')

const startedMs = performance.timeOrigin + performance.now()
const socket = connect({
  host: values.to,
  port: Number(values.port),
  ...(values.from === undefined ? {} : { localAddress: values.from }),
})
let connectMs = 0
socket.on('connect', () => {
  connectMs = performance.timeOrigin + performance.now() - startedMs
  socket.write(image)
})
socket.on('error', (error) => {
  console.error(`send-image: ${error.message}`)
  process.exitCode = 1
})
socket.on('data', () => {
  console.log(JSON.stringify({ octets: size, sha256, startedMs, connectMs }))
})
