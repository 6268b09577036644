/** Stops a timer; undefined if there is none. */
export type Timer = (() => void) | undefined

/** Calls f after a time, and returns a function that prevents it. The time is cut at 24 days, the limit of setTimeout. */
export function startTimer(ms: number, f: () => void): () => void {
  const timer = setTimeout(f, Math.min(ms, 2 ** 31 - 1))
  return () => clearTimeout(timer)
}

/** Returns a random wait before try number n (from 0), below a bound that doubles with each try. */
export function backoff(n: number, maxWait: number): number {
  return Math.random() * Math.min(maxWait, 500 * 2 ** n)
}
