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

/** Sends a request, and returns an answer that has status 200 and the media type. For any other answer, it throws. */
export async function request(c: Connection, url: string, type: string, cursor = "", method = "GET"): Promise<Response> {
  const headers: Record<string, string> = { accept: type }
  if (c._token) headers.authorization = "Bearer " + c._token
  // A cursor in a header leaves the URL as it is, so a browser sends one CORS preflight for all requests.
  if (cursor) headers["last-event-id"] = cursor
  const answer = await fetch(url, { method, headers, signal: c._signal })
  if (answer.status === 200 && answer.headers.get("content-type")?.startsWith(type)) return answer
  throw await answerError(answer)
}

/** The control messages of an event stream. The names in the stream begin with `trivium.`. */
export const controls = ["open", "heartbeat", "gap", "live", "end", "error", "goaway"]

/**
 * Returns a control message from its fields in an event stream. An event stream does not announce the time between
 * heartbeats, so the silence limit follows the measured time.
 */
export function control(c: Connection, op: string, id: string | undefined, data: string): Message {
  if (op === "heartbeat") {
    const { _limits: limits, _lastHeartbeat: last } = c
    const now = (c._lastHeartbeat = Date.now())
    if (last) limits._silence = Math.min(Math.max(2.5 * (now - last), limits._minSilence), 8 * limits._minSilence)
  }
  // The data may be empty. Messages of later versions of the protocol are ignored, and their data need not be JSON.
  const members = data && controls.includes(op) ? (JSON.parse(data) as object) : {}
  return { ...members, op, id }
}

/**
 * Throws the reason why a connection did not open. Browsers hide the reason, so this function sends a poll with the same
 * parameters. If the hub finally refuses the poll, that error is thrown, otherwise `why`.
 */
export async function throwReason(c: Connection, why: unknown): Promise<never> {
  if (!c._signal.aborted) {
    await request(c, c._url("poll", { wait: 0, max: 1 }), "application/json", c._cursor).catch((e) => {
      if (e instanceof TriviumError && !e.temporary) throw e
    })
  }
  throw why
}
