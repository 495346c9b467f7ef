import { Forwarder } from './forwarder.js'
import type { Answers, Reply, Request, WireOptions } from './messages.js'

// The process in the wire's namespace. Its one argument is its options as JSON; requests come over the IPC channel.

const IDLE_MS = 5

const forwarder = new Forwarder(JSON.parse(process.argv[2] ?? '{}') as WireOptions)

function answer(request: Request): Answers[Request['op']] {
  switch (request.op) {
    case 'watch':
      forwarder.watch(request.options)
      return null
    case 'report':
      return forwarder.report()
    case 'impair':
      forwarder.impair(request.impairments, request.seed)
      return null
    case 'frames':
      return forwarder.samples(request.kind, request.direction)
    case 'inject':
      return forwarder.inject(request.direction, request.frames)
  }
}

process.on('message', ({ id, request }: { id: number; request: Request }) => {
  let reply: Reply
  try {
    reply = { id, value: answer(request) }
  } catch (error) {
    reply = { id, error: (error as Error).message }
  }
  process.send?.(reply)
})
// Whoever started this process is gone.
process.on('disconnect', () => process.exit(0))
// Ctrl-C goes to the whole terminal; the lab ends this process when it is done with it.
process.on('SIGINT', () => undefined)

function loop(): void {
  forwarder.turn(IDLE_MS)
  setImmediate(loop)
}

process.send?.({ id: 0, value: 'ready' })
loop()
