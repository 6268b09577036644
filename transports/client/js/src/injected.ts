// The values of the core that parts use. The core passes them when it loads a part.
import type { core } from "./core.js"

export let [closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] = [] as unknown as typeof core

/** Sets the values. A part calls it before anything else. */
export function inject(c: typeof core): void {
  ;[closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] = c
}
