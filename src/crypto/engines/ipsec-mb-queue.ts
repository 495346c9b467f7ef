import type { Slab } from '../../bytes/slab.js'
import type { ImbJobs, IpsecMb } from '../../ffi/ipsec-mb.js'
import {
  JOB_CIPHER_LEN,
  JOB_CIPHER_MODE,
  JOB_DIRECTION,
  JOB_HASH_ALG,
  JOB_ORDER,
  JOB_STATUS,
  STATUS_COMPLETED,
} from '../../ffi/layout/imb-job.js'
import { NativeMemory } from '../../ffi/native-memory.js'

/** What one packet has beside its job: IV, AAD, the ICV computed, the ICV received. Octets from the slot's start. */
const SLOT_LEN = 128
const SLOT_IV = 0
const SLOT_AAD = 16
const SLOT_TAG = 32
const SLOT_GIVEN = 96
/** Addresses below it fill one word; the other is always zero. */
const WORD = 2 ** 32

/** A job with everything but what a packet brings: addresses and lengths. */
export interface JobTemplate {
  /** Never given twice. */
  readonly id: number
  readonly image: Uint32Array
  /** The library has done a job of it, having looked at it first. */
  proven: boolean
  /** Set once the keys are wiped. */
  ended: boolean
}

/** What a template is made of. Numbers are those of src/ffi/layout/imb-job.ts; `fields` are octet offset and value. */
export interface JobShape {
  readonly cipher: number
  readonly hash: number
  readonly direction: number
  readonly order: number
  readonly fields: readonly (readonly [number, number])[]
}

/** Whether all octets of the slab can be named in one word. */
export const isLow = (slab: Slab): boolean => slab.address > 0 && slab.address + slab.bytes.length <= WORD

/**
 * A burst of jobs of libIPSec_MB. `begin` hands out the next job, already shaped; whoever adds a packet fills in addresses and
 * lengths, by word, and says with `sealing` or `opening` what is to be done with the ICV; `run` does all.
 */
export class JobQueue {
  readonly capacity: number
  length = 0
  readonly slab: Slab
  /** Address of slab octet 0. */
  readonly base: number
  /** The jobs. */
  readonly words: Uint32Array
  private readonly jobs: ImbJobs
  private readonly jobWords: number
  private readonly slots: NativeMemory
  private readonly pointers: NativeMemory
  /** By place in the ring: the template that it was shaped by. */
  private readonly shapes: Int32Array
  private nextId = 1
  /** The library cannot be started again: no packet is taken any more. */
  private broken = false
  /** Whether a template of this run is new. */
  private unproven = false

  // By index of a packet. `opens`: 0 to seal, 1 to open, 2 to open with the ICV kept in the slot.
  private readonly job: Int32Array
  private readonly template: (JobTemplate | undefined)[]
  private readonly opens: Uint8Array
  private readonly given: Int32Array
  private readonly icvLength: Uint8Array
  private readonly text: Int32Array
  private readonly textLength: Int32Array
  private readonly results: Uint8Array

  /** @param slab at a low address @param capacity at most the library's burst */
  constructor(library: IpsecMb, slab: Slab, capacity: number) {
    const jobs = library.newJobs()
    this.jobs = jobs
    this.slab = slab
    this.base = slab.address
    this.capacity = Math.min(capacity, jobs.burst)
    const n = this.capacity
    this.words = jobs.memory.words
    this.jobWords = jobs.jobLength >>> 2
    this.shapes = new Int32Array(Math.ceil(this.words.length / this.jobWords))
    this.slots = new NativeMemory(SLOT_LEN * n)
    this.pointers = new NativeMemory(8 * n)
    this.job = new Int32Array(n)
    this.template = new Array<JobTemplate | undefined>(n).fill(undefined)
    this.opens = new Uint8Array(n)
    this.given = new Int32Array(n)
    this.icvLength = new Uint8Array(n)
    this.text = new Int32Array(n)
    this.textLength = new Int32Array(n)
    this.results = new Uint8Array(n)
  }

  shape({ cipher, hash, direction, order, fields }: JobShape): JobTemplate {
    const memory = new NativeMemory(4 * this.jobWords)
    const w = memory.words
    w[JOB_CIPHER_MODE >>> 2] = cipher
    w[JOB_HASH_ALG >>> 2] = hash
    w[JOB_DIRECTION >>> 2] = direction
    w[JOB_ORDER >>> 2] = order
    for (const [at, value] of fields) memory.view.setBigUint64(at, BigInt(value), true)
    // The library looks at lengths as well; any will do.
    w[JOB_CIPHER_LEN >>> 2] = 16
    this.jobs.prepare(memory.address)
    const image = w.slice(0, this.jobWords)
    memory.giveBack()
    return { id: this.nextId++, image, proven: false, ended: false }
  }

  /** @returns index in `words` of the job, or -1 when the queue is full or the library has no more */
  begin(template: JobTemplate): number {
    const n = this.length
    if (template.ended || this.broken || n === this.capacity) return -1
    if (n === 0 && this.jobs.next(this.capacity, this.pointers.address) < this.capacity) {
      this.startAgain()
      return -1
    }
    const at = (this.pointers.words[2 * n]! - this.jobs.memory.address) >>> 2
    const place = (at / this.jobWords) | 0
    if (this.shapes[place] !== template.id) {
      this.words.set(template.image, at)
      this.shapes[place] = template.id
    }
    this.words[at + (JOB_STATUS >>> 2)] = 0
    if (!template.proven) this.unproven = true
    this.job[n] = at
    this.template[n] = template
    return at
  }

  /** Copies an IV, 12 octets (16 when they are there), to where it stays. @returns its address */
  keepIv(iv: number, length: number): number {
    const v = this.slab.view
    const w = this.slots.words
    const at = (this.length * SLOT_LEN + SLOT_IV) >>> 2
    w[at] = v.getUint32(iv, true)
    w[at + 1] = v.getUint32(iv + 4, true)
    if (length === 11) w[at + 2] = v.getUint16(iv + 8, true) | (this.slab.bytes[iv + 10]! << 16)
    else w[at + 2] = v.getUint32(iv + 8, true)
    if (length === 16) w[at + 3] = v.getUint32(iv + 12, true)
    return this.slots.address + 4 * at
  }

  /** The same for an AAD of ESP. One of another length stays where it is. @returns its address */
  keepAad(aad: number, length: number): number {
    if (length !== 8 && length !== 12) return this.base + aad
    const v = this.slab.view
    const w = this.slots.words
    const at = (this.length * SLOT_LEN + SLOT_AAD) >>> 2
    w[at] = v.getUint32(aad, true)
    w[at + 1] = v.getUint32(aad + 4, true)
    if (length === 12) w[at + 2] = v.getUint32(aad + 8, true)
    return this.slots.address + 4 * at
  }

  /** The job begun last writes its ICV to the packet. @returns index of the packet */
  sealing(text: number, textLength: number, icv: number, icvLength: number): number {
    const n = this.length++
    this.opens[n] = 0
    this.text[n] = text
    this.textLength[n] = textLength
    this.given[n] = icv
    this.icvLength[n] = icvLength
    return n
  }

  /** It writes its ICV where `tagAddress` says, and `run` compares. @returns index of the packet */
  opening(icv: number, icvLength: number): number {
    const n = this.length++
    this.opens[n] = 1
    this.given[n] = icv
    this.icvLength[n] = icvLength
    return n
  }

  /** Address of the place for the ICV that the job begun last computes. */
  get tagAddress(): number {
    return this.slots.address + this.length * SLOT_LEN + SLOT_TAG
  }

  /** As `opening`, when the octets of the ICV are wanted for other octets until it has run. */
  openingBut(icv: number, icvLength: number): number {
    const v = this.slab.view
    const at = (this.length * SLOT_LEN + SLOT_GIVEN) >>> 2
    for (let i = 0; i < icvLength >>> 2; i++) this.slots.words[at + i] = v.getUint32(icv + 4 * i, true)
    const n = this.opening(icv, icvLength)
    this.opens[n] = 2
    return n
  }

  run(): void {
    const n = this.length
    if (n === 0) return
    this.length = 0
    const { jobs } = this
    const { address } = this.pointers
    let completed = this.unproven ? jobs.submit(n, address) : jobs.submitUnchecked(n, address)
    this.unproven = false
    while (completed < n) {
      const more = jobs.flush(n - completed, address)
      if (more === 0) break
      completed += more
    }
    for (let i = 0; i < n; i++) {
      const good =
        completed === n &&
        this.words[this.job[i]! + (JOB_STATUS >>> 2)] === STATUS_COMPLETED &&
        !this.template[i]!.ended
      if (good) this.template[i]!.proven = true
      this.template[i] = undefined
      if (this.opens[i] !== 0) this.results[i] = good && this.isEqual(i) ? 1 : 0
      else {
        this.results[i] = good ? 1 : 0
        if (!good) this.clear(i)
      }
    }
    if (completed !== n) this.startAgain()
  }

  done(index: number): boolean {
    return this.results[index] === 1
  }

  /** In constant time: computed against given ICV. */
  private isEqual(i: number): boolean {
    const w = this.slots.words
    const tag = (i * SLOT_LEN + SLOT_TAG) >>> 2
    const count = this.icvLength[i]! >>> 2
    let diff = 0
    if (this.opens[i] === 2) {
      const kept = (i * SLOT_LEN + SLOT_GIVEN) >>> 2
      for (let k = 0; k < count; k++) diff |= w[tag + k]! ^ w[kept + k]!
    } else {
      const v = this.slab.view
      const given = this.given[i]!
      for (let k = 0; k < count; k++) diff |= w[tag + k]! ^ v.getUint32(given + 4 * k, true)
    }
    return diff === 0
  }

  /** Not sealed: in place, the plaintext still stands there. What leaves instead is nothing that a peer would accept. */
  private clear(i: number): void {
    const b = this.slab.bytes
    b.fill(0, this.text[i]!, this.text[i]! + this.textLength[i]!)
    b.fill(0, this.given[i]!, this.given[i]! + this.icvLength[i]!)
  }

  private startAgain(): void {
    this.shapes.fill(0)
    try {
      this.jobs.reset()
    } catch {
      this.broken = true
    }
  }
}
