import type { ChildProcess } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Duplex } from 'node:stream'

const TIMEOUT_MS = 180_000

/** The line-by-line channel to migrate-send, on its descriptor 3. */
export class Control {
  private readonly child: ChildProcess
  private readonly channel: Duplex
  private readonly lines: AsyncIterator<string>
  private readonly reader: Interface
  private errors = ''

  constructor(child: ChildProcess) {
    this.child = child
    this.channel = child.stdio[3] as Duplex
    this.channel.on('error', () => undefined)
    this.reader = createInterface({ input: this.channel })
    this.lines = this.reader[Symbol.asyncIterator]()
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-2000)
    })
  }

  /** What the sender says next. @throws Error with what went to standard error when it ends, or takes too long */
  async line(): Promise<string> {
    const timer = setTimeout(() => this.end(), TIMEOUT_MS)
    const { value, done } = await this.lines.next()
    clearTimeout(timer)
    if (done === true) throw new Error(`the migration broke off. ${this.errors.trim()}`)
    return value
  }

  /** Tells the sender to go on. */
  order(): void {
    this.channel.write('go\n')
  }

  /** Ends the sender and what it has started. */
  end(): void {
    this.reader.close()
    this.channel.destroy()
    this.child.kill('SIGKILL')
  }
}
