import { type DestinationStream, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import type { LogFormat, LogLevel } from './config/config.js'

/**
 * The daemon's log: JSON lines on standard output, or readable ones where that is a terminal. Writes are synchronous, so
 * that the last line before an end is there; the control plane alone writes, a few lines an event.
 */
export function createLogger(level: LogLevel, format: LogFormat): Logger {
  const readable = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true)
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const stream: DestinationStream & { on?(event: 'error', listener: () => void): unknown } = readable
    ? pretty({
        destination: 1,
        sync: true,
        colorize: process.stdout.isTTY === true,
        ignore: 'pid',
        translateTime: 'HH:MM:ss.l',
      })
    : pino.destination({ fd: 1, sync: true })
  // Whoever read the log has gone: the gateway goes on without.
  stream.on?.('error', () => undefined)
  return pino(options, stream)
}
