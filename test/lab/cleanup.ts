// What a lab has made in the system must go, however the program ends. Cleanups are synchronous, so that they can run in
// the last moment of a process.

type Cleanup = () => void

const cleanups = new Set<Cleanup>()
let armed = false

/** Registers what must be undone at the program's end. Returns a function that runs it now, once. */
export function atEnd(cleanup: Cleanup): () => void {
  arm()
  cleanups.add(cleanup)
  return () => {
    if (cleanups.delete(cleanup)) cleanup()
  }
}

function runAll(): void {
  for (const cleanup of [...cleanups].reverse()) {
    cleanups.delete(cleanup)
    try {
      cleanup()
    } catch (error) {
      console.error(`cleanup: ${(error as Error).message}`)
    }
  }
}

function arm(): void {
  if (armed) return
  armed = true
  // The exit event comes after process.exit, the end of the event loop, and an exception that nobody caught.
  process.on('exit', runAll)
  const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const
  for (const [signal, number] of Object.entries(numbers))
    process.on(signal, () => {
      // Ctrl-C goes to every process of the terminal; who is impatient sends it again, which must not cut this short.
      for (const other of Object.keys(numbers)) process.removeAllListeners(other).on(other, () => undefined)
      process.exit(128 + number)
    })
}
