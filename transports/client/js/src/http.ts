import type { core } from "./core.js"
import { eventsource } from "./eventsource.js"
import { inject, TriviumError } from "./injected.js"
import { poll, pollOnce } from "./poll.js"
import { throwReason } from "./request.js"
import { whenLive } from "./search.js"
import { sse } from "./sse.js"
import type { Connection, Transport } from "./transport.js"

const transports: Record<string, Transport> = { sse, poll, eventsource }

/** Opens a connection by a transport other than WebSocket, and reads it. */
async function open(name: string, c: Connection): Promise<never> {
  const transport = transports[name]
  if (!transport) throw new TriviumError("transport: want auto, ws, sse, poll or eventsource", "options", 400)
  return transport(c)
}

/** The part with the transports over HTTP, the diagnosis of refused connections, and the search for a better transport. */
export default (c: typeof core) => {
  inject(c)
  return { _open: open, _throwReason: throwReason, _whenLive: whenLive, _pollOnce: pollOnce }
}
