// Every error that sallyport raises belongs to one of these families and carries a stable SALLYPORT_* code.

/** Stable codes. A code never changes its meaning; the message beside it may. */
export type ErrorCode =
  | 'SALLYPORT_WIRE' // a peer's octets do not parse
  | 'SALLYPORT_PROTOCOL' // a peer's choice is refused
  | 'SALLYPORT_INTERNAL' // a fault of ours
  | 'SALLYPORT_CONFIG' // configuration file, key file or command line
  | 'SALLYPORT_SYSTEM' // a system call or a tool of the system failed
  | 'SALLYPORT_CONTROL' // the control socket or a command sent through it
  | 'SALLYPORT_CRYPTO' // a crypto engine failed its self-test or refused a key

/** Root of the families, so that callers can tell our errors from a programming fault. */
export class SallyportError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** The peer's octets break a format. Carries where: the field's name and its offset in the structure parsed. */
export class WireError extends SallyportError {
  readonly field: string
  readonly offset: number
  readonly why: string
  constructor(field: string, offset: number, why: string) {
    super('SALLYPORT_WIRE', `${field} at octet ${offset}: ${why}`)
    this.field = field
    this.offset = offset
    this.why = why
  }
}

/** The peer's message parses, but what it asks for is refused. `notify` is the IANA name of the notify to answer with. */
export class ProtocolError extends SallyportError {
  readonly notify: string
  constructor(notify: string, message: string) {
    super('SALLYPORT_PROTOCOL', `${notify}: ${message}`)
    this.notify = notify
  }
}

/** A state that our own code should have made impossible. */
export class InternalError extends SallyportError {
  constructor(message: string, options?: ErrorOptions) {
    super('SALLYPORT_INTERNAL', message, options)
  }
}

/** Configuration is wrong. The message names file, line, key and what was expected. Exit status 2. */
export class ConfigError extends SallyportError {
  constructor(message: string, options?: ErrorOptions) {
    super('SALLYPORT_CONFIG', message, options)
  }
}

/** A system call or a tool of the system failed. Keeps errno, the call and its argument. Exit status 1. */
export class SystemError extends SallyportError {
  /** Positive errno, 0 where there is none (a tool's failure). */
  readonly errno: number
  readonly call: string
  constructor(call: string, errno: number, message: string, options?: ErrorOptions) {
    super('SALLYPORT_SYSTEM', message, options)
    this.call = call
    this.errno = errno
  }
}

/** The control socket cannot be used, or the daemon refused the command. */
export class ControlError extends SallyportError {
  constructor(message: string, options?: ErrorOptions) {
    super('SALLYPORT_CONTROL', message, options)
  }
}

/** A crypto engine cannot be used. */
export class CryptoError extends SallyportError {
  constructor(message: string, options?: ErrorOptions) {
    super('SALLYPORT_CRYPTO', message, options)
  }
}

/** For the default branch of an exhaustive switch. */
export function assertNever(value: never): never {
  throw new InternalError(`unexpected value ${JSON.stringify(value)}`)
}
