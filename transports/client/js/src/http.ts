import type { core } from "./core.js"
import { eventsource } from "./eventsource.js"
import { inject } from "./injected.js"
import { poll, pollOnce } from "./poll.js"
import { throwReason } from "./request.js"
import { whenLive } from "./search.js"
import { sse } from "./sse.js"

/** The part with the transports over HTTP, the diagnosis of refused connections, and the search for a better transport. */
export default (c: typeof core) => {
  inject(c)
  return { sse, poll, eventsource, _throwReason: throwReason, _whenLive: whenLive, _pollOnce: pollOnce }
}
