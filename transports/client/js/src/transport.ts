import { TriviumError } from "./error.js"
import type { Limits } from "./link.js"

/** A message of the hub. The `op` of an event is `event`, and its envelope is in `raw`. */
export interface Message {
  op: string
  id?: string
  raw?: string
  heartbeat_ms?: number
  retry_ms?: number
  ref?: unknown
}

/** The members of a connection that its transport uses. */
export interface Connection {
  /** Returns a URL of the hub with the parameters of the subscription and those of the transport. */
  _url(path: string, query: Record<string, string | number>): string
  readonly _token: string
  /** The position to resume after; "" for a subscription that has none yet. */
  readonly _cursor: string
  /** Aborts when the client ends the connection. */
  readonly _signal: AbortSignal
  /** The reason why the client ended the connection. Some platforms have no `reason` of a signal. */
  readonly _reason?: unknown
  /** Processes a message. The transport may pass the next one when the promise is fulfilled. */
  _receive(m: Message): Promise<void>
  /** Records that data arrived, for the watchdog. */
  _heard(): void
  /** The limits of silence, which all connections of the client share. */
  readonly _limits: Limits
  /** When the last heartbeat arrived, in milliseconds since 1970; set if the hub does not announce the time between them. */
  _lastHeartbeat?: number
  /** Renews the token of the open connection; set by the transports that can. */
  _renew?: (token: string) => void
}

/** Opens a connection, and reads it until it ends. The promise rejects with the reason. */
export type Transport = (c: Connection) => Promise<never>

/** The reason for a connection that the client itself has ended, in order to connect again at once. */
export const resumeAtOnce = new TriviumError("", "")

/** Returns the error of a connection that the network ended. */
export function connectionLost(detail = "the connection was lost"): TriviumError {
  return new TriviumError(detail, "network")
}

/**
 * The maximum cost of the queued messages of a source without backpressure. The cost of a message is `messageCost` plus the
 * length of its event in UTF-16 code units. If the limit is exceeded, the connection is closed. When the program has taken
 * the queued messages, a new connection resumes at the cursor.
 */
const maxCost = 1 << 21
const messageCost = 1000

/**
 * Reads a source that pushes its messages, such as a WebSocket. `start` opens the source, and returns a function that
 * closes it. `start` passes each message as a function that parses it. An error of that function ends the connection. An
 * error in an event handler of the platform would not end it.
 */
export async function readPushed(
  c: Connection,
  start: (message: (parse: () => Message) => void, fail: (why: unknown) => void) => () => void,
): Promise<never> {
  if (c._signal.aborted) throw c._reason
  const queue: Message[] = []
  let queued = 0
  let ended = false
  let reason: unknown
  let wake = () => {}
  let close = () => {}
  const fail = (why: unknown) => {
    if (ended) return // closing a socket before it is open reports an error
    ended = true
    reason = why
    close()
    wake()
  }
  c._signal.addEventListener("abort", () => fail(c._reason))
  close = start((parse) => {
    if (ended) return
    c._heard()
    try {
      const m = parse()
      queue.push(m)
      queued += costOf(m)
    } catch (e) {
      fail(e)
    }
    if (queued > maxCost && queue.length > 1) fail(resumeAtOnce)
    wake()
  }, fail)
  try {
    for (;;) {
      while (queue.length && !c._signal.aborted) {
        const m = queue.shift()!
        queued -= costOf(m)
        await c._receive(m)
      }
      if (ended) throw reason
      await new Promise<void>((done) => (wake = done))
    }
  } catch (e) {
    fail(e)
    throw e
  }
}

function costOf(m: Message): number {
  return messageCost + (m.raw?.length ?? 0)
}
