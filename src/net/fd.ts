import { libc } from '../ffi/libc.js'

/** Closes a descriptor that sallyport opened. An error says nothing useful: the descriptor is gone either way. */
export function closeFd(fd: number): void {
  libc().close(fd)
}
