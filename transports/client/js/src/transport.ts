import { answerError, TriviumError } from "./error.js"

/** A message of the hub. The `op` of an event is `event`, and its envelope is in `raw`. */
export interface Message {
  op: string
  id?: string
  raw?: string
  heartbeat_ms?: number
  retry_ms?: number
  ref?: unknown
}

/** One connection, as the client sees it and the transport needs it. */
export interface Connection {
  /** Returns a URL of the hub with the parameters of the subscription and those of the transport. */
  _url(path: string, query: Record<string, string | number>): string
  readonly _token: string
  /** The position to resume after; "" for a subscription that has none yet. */
  readonly _cursor: string
  /** Aborts when the client ends the connection, for _reason. */
  readonly _signal: AbortSignal
  /** The reason in a field of its own, as not every platform has that of a signal. */
  readonly _reason: unknown
  /** The time for which the hub may hold a poll, in seconds. */
  readonly _pollWait: number
  /** Processes a message. The transport passes the next one when the promise is fulfilled. */
  _receive(m: Message): Promise<void>
  /** Notes that data arrived. */
  _heard(): void
  /** Renews the token of the open connection; set by a transport that can. */
  _renew?: (token: string) => void
}

/** Opens a connection and reads it. The promise rejects with the reason for which the connection ended. */
export type Transport = (c: Connection) => Promise<never>

/** The reason of a connection that ended without a fault: the client connects again at once. */
export const resumeAtOnce = new TriviumError("the connection is replaced", "")

export function connectionLost(detail = "the connection was lost"): TriviumError {
  return new TriviumError(detail, "network")
}

/** Sends a request of the subscription and returns the answer if it is 200 and of a media type; else it throws. */
export async function request(c: Connection, url: string, type: string, cursor = "", method = "GET"): Promise<Response> {
  const headers: Record<string, string> = { accept: type }
  if (c._token) headers.authorization = "Bearer " + c._token
  // The cursor is not part of the URL, so a browser asks only once whether CORS allows the URL.
  if (cursor) headers["last-event-id"] = cursor
  const answer = await fetch(url, { method, headers, signal: c._signal })
  if (answer.status === 200 && answer.headers.get("content-type")?.startsWith(type)) return answer
  throw await answerError(answer)
}

/** Returns a control message from its fields in an event stream. */
export function control(op: string, id: string | undefined, data: string): Message {
  return { ...(JSON.parse(data) as object), op, id }
}

/**
 * Limits of the messages from a source that cannot be held back. Beyond them the connection is closed, and opened again
 * at the cursor when the program has taken them.
 */
const maxQueued = 1000
const maxQueuedSize = 1 << 20 // UTF-16 code units

/**
 * Reads a source that pushes its messages. `start` opens it and returns a function that closes it. It passes functions
 * that parse a message, since an error in an event handler of the platform would end nothing.
 */
export async function readPushed(
  c: Connection,
  start: (message: (parse: () => Message) => void, fail: (why: unknown) => void) => () => void,
): Promise<never> {
  if (c._signal.aborted) throw c._reason
  const queue: Message[] = []
  let size = 0
  let ended = false
  let reason: unknown
  let wake = () => {}
  let close = () => {}
  const fail = (why: unknown) => {
    if (!ended) reason = why
    ended = true
    close()
    wake()
  }
  c._signal.addEventListener("abort", () => fail(c._reason))
  close = start((parse) => {
    if (ended) return
    c._heard()
    try {
      size += queue[queue.push(parse()) - 1]!.raw?.length ?? 0
    } catch (e) {
      fail(e)
    }
    if (queue.length > maxQueued || (size > maxQueuedSize && queue.length > 1)) fail(resumeAtOnce)
    wake()
  }, fail)
  try {
    for (;;) {
      while (queue.length && !c._signal.aborted) {
        const m = queue.shift()!
        size -= m.raw?.length ?? 0
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

/**
 * Finds the reason for which a connection did not open, which browsers do not tell, with a poll. It throws the hub's
 * error if that is not temporary, and otherwise `why`.
 */
export async function throwReason(c: Connection, why: unknown): Promise<never> {
  if (!c._signal.aborted) {
    await request(c, c._url("poll", { wait: 0, max: 1 }), "application/json", c._cursor).catch((e) => {
      if (e instanceof TriviumError && !e.temporary) throw e
    })
  }
  throw why
}
