// All orders in which two ends can see what happens, each tried once. A run is made again from its beginning for every
// order, so that the machines under test need no copying. What happens at different ends commutes: of orders that differ in
// such steps alone one is tried (sleep sets, Godefroid 1996).

/** Something that can happen next. */
export interface Step {
  /** The same in every run that has taken the same steps so far. */
  readonly name: string
  /** Where it happens. */
  readonly at: 'a' | 'b'
  run(): void
}

/** A run: gives what can happen next until nothing can, then is told that it is over. */
export interface Run {
  /** In an order that depends on the steps taken so far alone. */
  steps(): readonly Step[]
  /** Every step has been taken. */
  end(taken: readonly string[]): void
  /** The run is not followed to its end. */
  abandon(): void
}

interface Node {
  /** Steps that may be taken here, by name. */
  readonly enabled: readonly Step[]
  /** Names that need no trying here: every order that begins with them has been tried elsewhere. */
  readonly sleep: ReadonlySet<string>
  readonly done: Set<string>
  chosen: string
}

/**
 * Tries every order.
 * @param start begins a run
 * @param runsMax a bound; more orders than that are an error
 * @returns how many runs came to their end
 */
export function everyOrder(start: () => Run, runsMax: number): number {
  const path: Node[] = []
  let ended = 0
  for (let runs = 0; ; runs++) {
    if (runs > runsMax) throw new Error(`more than ${runsMax} orders`)
    if (follow(start(), path)) ended++
    // The deepest place where something else may be tried.
    for (;;) {
      const node = path.at(-1)
      if (node === undefined) return ended
      node.done.add(node.chosen)
      const next = open(node)
      if (next !== undefined) {
        node.chosen = next.name
        break
      }
      path.pop()
    }
  }
}

const open = (n: Node): Step | undefined => n.enabled.find((s) => !n.sleep.has(s.name) && !n.done.has(s.name))

/** Takes the steps of `path`, then the first that may be tried at every further place. False: an order tried before. */
function follow(run: Run, path: Node[]): boolean {
  const taken: string[] = []
  for (let depth = 0; ; depth++) {
    const steps = run.steps()
    if (steps.length === 0) {
      run.end(taken)
      return true
    }
    let node = path[depth]
    if (node === undefined) {
      const above = path[depth - 1]
      node = {
        enabled: steps,
        sleep: above === undefined ? new Set() : asleep(above),
        done: new Set(),
        chosen: '',
      }
      const first = open(node)
      if (first === undefined) {
        run.abandon()
        return false
      }
      node.chosen = first.name
      path.push(node)
    }
    const { chosen } = node
    const step = steps.find((s) => s.name === chosen)
    if (step === undefined)
      throw new Error(`the same steps led elsewhere: no ${chosen} after ${taken.join(', ')}`)
    taken.push(chosen)
    step.run()
  }
}

/** What is asleep below: what slept or was done here, and happens at the other end than the chosen step. */
function asleep(n: Node): Set<string> {
  const { at } = n.enabled.find((s) => s.name === n.chosen)!
  return new Set(
    n.enabled.filter((s) => (n.sleep.has(s.name) || n.done.has(s.name)) && s.at !== at).map((s) => s.name),
  )
}
