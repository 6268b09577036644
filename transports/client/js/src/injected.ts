// What a part uses of the core, which passes it when it loads the part.
import type { core } from "./core.js"

export let [closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] = [] as unknown as typeof core

export function inject(c: typeof core): void {
  ;[closedError, TriviumError, problemError, backoff, startTimer, connectionLost, readPushed, resumeAtOnce, checkToken] = c
}
