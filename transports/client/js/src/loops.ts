/** A `for await` loop over the events. */
interface Loop<E> {
  /** Passes the next event; set while the loop waits for it, that is, has processed all earlier ones. */
  take?: ((r: IteratorResult<E, undefined>) => void) | undefined
}

/** The `for await` loops over the events. */
export class Loops<E> {
  #loops = new Set<Loop<E>>()

  /**
   * @param _onReady is called when each loop has processed the events that it got.
   * @param _end returns how the events ended; undefined if they have not.
   */
  constructor(
    private _onReady: () => void,
    private _end: () => { error?: Error } | undefined,
  ) {}

  get _count(): number {
    return this.#loops.size
  }

  /** Whether each loop waits for an event. */
  get _allWait(): boolean {
    return [...this.#loops].every((loop) => loop.take)
  }

  /** Passes an event to each loop. All must wait. */
  _pass(value: E): void {
    for (const loop of this.#loops) {
      const { take } = loop
      delete loop.take
      take?.({ done: false, value }) // a handler may have begun a loop just now
    }
  }

  /** Ends the loops that wait; the others end with their next step. */
  _close(): void {
    for (const { take } of this.#loops) take?.({ done: true, value: undefined })
  }

  /** Calls _onReady if each loop waits for an event. */
  _check(): void {
    if (this._allWait) this._onReady()
  }

  _iterator(): AsyncIterator<E, undefined> {
    const loop: Loop<E> = {}
    this.#loops.add(loop)
    const leave = () => {
      this.#loops.delete(loop)
      this._check()
    }
    return {
      next: async () => {
        let result: IteratorResult<E, undefined> = { done: true, value: undefined }
        if (!this._end()) {
          result = await new Promise((take) => {
            loop.take = take
            this._check()
          })
        }
        if (!result.done) return result
        leave()
        const error = this._end()?.error
        if (error) throw error
        return result
      },
      return: async () => {
        leave()
        return { done: true, value: undefined }
      },
    }
  }
}
