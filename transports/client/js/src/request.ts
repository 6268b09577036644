import type { TriviumError as Err } from "./error.js"
import { problemError, TriviumError } from "./injected.js"
import type { Connection, Message } from "./transport.js"

/** Returns the error that describes an unexpected answer. */
export async function answerError(answer: Response): Promise<Err> {
  const wait = answer.headers.get("retry-after") ?? ""
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json")
  const problem: object = await (isProblem ? answer.json() : answer.body?.cancel())?.catch(() => {})
  return problemError({ ...problem, status: answer.status }, (+wait || 0) * 1000 || Math.max(0, Date.parse(wait) - Date.now()) || 0)
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

/** Returns a control message from its fields in an event stream, which does not announce the time between heartbeats. */
export function control(c: Connection, op: string, id: string | undefined, data: string): Message {
  if (op === "heartbeat") {
    const { _limits: limits, _lastHeartbeat: last } = c
    const now = (c._lastHeartbeat = Date.now())
    if (last) limits._silence = Math.min(Math.max(2.5 * (now - last), limits._minSilence), 8 * limits._minSilence)
  }
  return { ...(JSON.parse(data) as object), op, id }
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
