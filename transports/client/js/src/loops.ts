/** A `for await` loop over the events. `_take` passes the next event, and is set while the loop waits for one. */
interface Loop<E> {
  _take?: ((r: IteratorResult<E, undefined>) => void) | undefined
}

/** The `for await` loops over the events. */
export interface Loops<E> {
  _count(): number
  /** Reports whether each loop waits for an event, and so has processed all earlier events. */
  _allWait(): boolean
  /** Passes an event to each loop. All loops must be waiting. */
  _pass(value: E): void
  /** Ends the waiting loops. The others end at their next step. */
  _close(): void
  /** Calls onReady if each loop waits for an event. */
  _check(): void
  _iterator(): AsyncIterator<E, undefined>
}

/**
 * Returns the loops of a client.
 *
 * @param onReady is called when each loop has processed all events passed to it.
 * @param end returns the error that closed the client, {} if it was closed without one, and undefined while it is open.
 */
export function newLoops<E>(onReady: () => void, end: () => { error?: Error } | undefined): Loops<E> {
  const loops = new Set<Loop<E>>()
  const finished: IteratorResult<E, undefined> = { done: true, value: undefined }
  const pass = (result: IteratorResult<E, undefined>) => {
    for (const loop of loops) {
      const take = loop._take
      loop._take = undefined
      take?.(result) // a loop that a handler has just begun does not wait yet
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
