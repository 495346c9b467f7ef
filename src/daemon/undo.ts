/** What was done and how to undo it, in the order of doing. */
export class Undo {
  private readonly steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = []

  push(what: string, undo: () => void | Promise<void>): void {
    this.steps.push({ what, undo })
  }

  /** Undoes everything, the last first. A step that fails is told of and does not hold up the others. */
  async run(failed: (what: string, error: unknown) => void): Promise<void> {
    for (let step = this.steps.pop(); step; step = this.steps.pop())
      try {
        await step.undo()
      } catch (error) {
        failed(step.what, error)
      }
  }
}
