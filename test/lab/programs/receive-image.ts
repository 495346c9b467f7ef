import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { parseArgs } from 'node:util'

// Receives a memory image over TCP, as the receiving side of a migration does, and knows nothing of protection:
//   receive-image --listen ADDRESS --port PORT --size OCTETS [--pages FILE]
// Prints "listening" and at the end one line of JSON. FILE gets the digest of every page of 4 KiB.

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '0.0.0.0' },
    port: { type: 'string', default: '8002' },
    size: { type: 'string', default: '0' },
    pages: { type: 'string' },
  },
})
const PAGE = 4096
const DIGEST = 20
const size = Number(values.size)
const image = Buffer.allocUnsafeSlow(size)

function pageDigests(): Buffer {
  const out = Buffer.alloc((size / PAGE) * DIGEST)
  for (let i = 0; i < size / PAGE; i++)
    createHash('sha1')
      .update(image.subarray(i * PAGE, (i + 1) * PAGE))
      .digest()
      .copy(out, i * DIGEST)
  return out
}

const server = createServer((socket) => {
  server.close()
  let received = 0
  let firstMs = 0
  let lastMs = 0
  socket.on('data', (chunk: Buffer) => {
    lastMs = performance.now()
    if (received === 0) firstMs = lastMs
    chunk.copy(image, received)
    received += chunk.length
    if (received >= size) socket.end('done')
  })
  socket.on('error', (error) => {
    console.error(`receive-image: ${error.message}`)
    process.exitCode = 1
  })
  socket.on('close', () => {
    if (values.pages !== undefined) writeFileSync(values.pages, pageDigests())
    const sha256 = createHash('sha256').update(image).digest('hex')
    console.log(JSON.stringify({ octets: received, seconds: (lastMs - firstMs) / 1000, sha256 }))
  })
})
server.listen({ host: values.listen, port: Number(values.port) }, () => console.log('listening'))
