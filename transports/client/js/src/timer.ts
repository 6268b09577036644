/** A function that stops a timer; undefined if no timer runs. */
export type Timer = (() => void) | undefined

/** Calls f after a time of at most 24 days, the limit of setTimeout. Returns a function that stops the timer. */
export function startTimer(ms: number, f: () => void): () => void {
  const timer = setTimeout(f, Math.min(ms, 2 ** 31 - 1))
  return () => clearTimeout(timer)
}

/** Returns a random wait before attempt n (from 0), in milliseconds. Its upper bound doubles with each attempt. */
export function backoff(n: number, maxWait: number): number {
  return Math.random() * Math.min(maxWait, 500 * 2 ** n)
}
