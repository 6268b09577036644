/** A `for await` loop over the events. */
interface Loop<E> {
  /** Passes the next event; set while the loop waits for it, that is, has processed all earlier ones. */
  take?: ((r: IteratorResult<E, undefined>) => void) | undefined
}

/** The `for await` loops over the events. A slow loop holds back the connection, as `_ready` waits for it. */
export class Loops<E> {
  #loops = new Set<Loop<E>>()
  #waiting: (() => void)[] = []

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

  /** Resolves when each loop waits for an event. */
  async _ready(): Promise<void> {
    while (!this.#allWait()) await new Promise<void>((done) => this.#waiting.push(done))
  }

  /** Passes an event to each loop. All must wait. */
  _pass(value: E): void {
    for (const loop of this.#loops) {
      const { take } = loop
      delete loop.take
      take!({ done: false, value })
    }
  }

  /** Ends the loops that wait; the others end with their next step. */
  _close(): void {
    for (const { take } of this.#loops) take?.({ done: true, value: undefined })
  }

  /** Resumes who waits in `_ready`, if each loop waits for an event. */
  _check(): void {
    if (!this.#allWait()) return
    this._onReady()
    for (const resume of this.#waiting.splice(0)) resume()
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

  #allWait(): boolean {
    return [...this.#loops].every((loop) => loop.take)
  }
}
