import { concat, equalSecret, wipe } from '../../bytes/octets.js'
import { PRF } from '../../crypto/algorithms.js'
import { prf } from '../../crypto/prf.js'
import type { Endpoint, Millis } from '../environment.js'

// Stateless cookies, RFC 7296 section 2.6: whoever sends one back is really at its address.
//
//   cookie = secret's number (1) | HMAC-SHA-256(secret, Ni | IP | port | SPIi) cut to 16

const MAC_LEN = 16
/** A secret makes cookies for so long, and verifies them for as long again. */
const SECRET_MS = 30_000

interface Secret {
  readonly number: number
  readonly key: Uint8Array
  readonly madeAt: Millis
}

/** What a cookie speaks for. */
export interface CookieSubject {
  readonly ni: Uint8Array
  readonly from: Endpoint
  readonly spiI: Uint8Array
}

export class Cookies {
  private readonly random: (length: number) => Uint8Array
  private current: Secret | undefined
  private previous: Secret | undefined

  constructor(random: (length: number) => Uint8Array) {
    this.random = random
  }

  make(now: Millis, s: CookieSubject): Uint8Array {
    return cookie(this.secret(now), s)
  }

  verify(now: Millis, s: CookieSubject, received: Uint8Array): boolean {
    const current = this.secret(now)
    const secret = [current, this.previous].find((x) => x?.number === received[0])
    if (secret === undefined || now >= secret.madeAt + 2 * SECRET_MS) return false
    return equalSecret(cookie(secret, s), received)
  }

  private secret(now: Millis): Secret {
    if (this.current === undefined || now >= this.current.madeAt + SECRET_MS) {
      wipe(this.previous?.key)
      this.previous = this.current
      const number = ((this.previous?.number ?? 0) + 1) & 0xff
      this.current = { number, key: this.random(32), madeAt: now }
    }
    return this.current
  }
}

function cookie(secret: Secret, s: CookieSubject): Uint8Array {
  const port = Uint8Array.of(s.from.port >>> 8, s.from.port & 0xff)
  const mac = prf(PRF.HMAC_SHA2_256, secret.key, s.ni, s.from.address, port, s.spiI)
  return concat(Uint8Array.of(secret.number), mac.subarray(0, MAC_LEN))
}
