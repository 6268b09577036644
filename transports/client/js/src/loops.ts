/** A `for await` loop over the events: the function that passes the next one; set while the loop waits for it. */
interface Loop<E> {
  _take?: ((r: IteratorResult<E, undefined>) => void) | undefined
}

/** The `for await` loops over the events. */
export interface Loops<E> {
  _count(): number
  /** Reports whether each loop waits for an event, that is, has processed all earlier ones. */
  _allWait(): boolean
  /** Passes an event to each loop. All must wait. */
  _pass(value: E): void
  /** Ends the loops that wait; the others end with their next step. */
  _close(): void
  /** Calls onReady if each loop waits for an event. */
  _check(): void
  _iterator(): AsyncIterator<E, undefined>
}

/**
 * @param onReady is called when each loop has processed the events that it got.
 * @param end returns how the events ended; undefined if they have not.
 */
export function newLoops<E>(onReady: () => void, end: () => { error?: Error } | undefined): Loops<E> {
  const loops = new Set<Loop<E>>()
  const finished: IteratorResult<E, undefined> = { done: true, value: undefined }
  const pass = (result: IteratorResult<E, undefined>) => {
    for (const loop of loops) {
      const take = loop._take
      loop._take = undefined
      take?.(result) // a handler may have begun a loop just now
    }
  }
  const allWait = () => [...loops].every((loop) => loop._take)
  const check = () => {
    if (allWait()) onReady()
  }
  const iterator = (): AsyncIterator<E, undefined> => {
    const loop: Loop<E> = {}
    loops.add(loop)
    const leave = async () => {
      loops.delete(loop)
      check()
      return finished
    }
    return {
      async next() {
        if (!end()) {
          const result = await new Promise<IteratorResult<E, undefined>>((take) => {
            loop._take = take
            check()
          })
          if (!result.done) return result
        }
        const error = end()?.error
        const result = leave()
        if (error) throw error
        return result
      },
      return: leave,
    }
  }
  return {
    _count: () => loops.size,
    _allWait: allWait,
    _pass: (value) => pass({ done: false, value }),
    _close: () => pass(finished),
    _check: check,
    _iterator: iterator,
  }
}
