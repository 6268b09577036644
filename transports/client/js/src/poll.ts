import { TriviumError } from "./injected.js"
import { parts } from "./json.js"
import { request } from "./request.js"
import type { Connection, Transport } from "./transport.js"

/** The result of a poll. */
interface Polled {
  _cursor: string
  /** The number of events. */
  _count: number
  /** The wait that a draining hub requests, in milliseconds; else 0. */
  _retry: number
}

/**
 * Sends one poll, and delivers the messages of its answer. For the first poll of a connection, `heartbeat_ms` is the longest
 * time until the next message; for the others it is 0.
 */
export async function pollOnce(c: Connection, cursor: string, wait: number, heartbeat_ms: number): Promise<Polled> {
  const answer = await request(c, c._url("poll", { wait, max: 1000 }), "application/json", cursor)
  const { cursor: next, events, gap } = parts(await readText(c, answer))
  if (!next) throw new TriviumError("the answer has no cursor", "")
  c._heard()
  if (heartbeat_ms) await c._receive({ op: "open", id: cursor, heartbeat_ms })
  if (gap) {
    const g = JSON.parse(gap)
    await c._receive({ ...g, op: "gap", id: g.resumed_at })
  }
  const list = Object.values(parts(events ?? ""))
  for (const raw of list) await c._receive({ op: "event", raw })
  const _cursor = JSON.parse(next) as string
  await c._receive({ op: "position", id: _cursor })
  return { _cursor, _count: list.length, _retry: Number(answer.headers.get("retry-after")) * 1000 }
}

/** Reads by long-poll. The first poll does not wait: it returns the position at which the subscription starts. */
export const poll: Transport = async (c) => {
  let cursor = c._cursor
  // The hub may hold a poll for 5/8 of the silence limit, at most 25 s. The answer must arrive within the rest of the
  // limit.
  const limit = c._limits._minSilence
  const pollWait = Math.max(1, Math.min(25, Math.floor(limit / 1600)))
  const heartbeat = Math.max(limit * 0.4, pollWait * 640)
  for (let wait = 0; ; wait = pollWait) {
    const begin = Date.now()
    const { _cursor, _count, _retry } = await pollOnce(c, cursor, wait, wait ? 0 : heartbeat)
    cursor = _cursor
    if (_retry) throw new TriviumError("the hub drains", "network", 0, _retry)
    // Limits the rate of polls if a proxy answers them at once instead of the hub.
    if (!_count && wait && Date.now() - begin < 1000) await new Promise((done) => setTimeout(done, 1000))
  }
}

/** Returns the body of an answer. Each chunk ends the silence, because a large body may take longer than the silence limit. */
async function readText(c: Connection, answer: Response): Promise<string> {
  if (!answer.body) return answer.text() // React Native has no streams
  const reader = answer.body.getReader()
  const decoder = new TextDecoder()
  for (let text = ""; ; c._heard()) {
    const { done, value } = await reader.read()
    if (done) return text
    text += decoder.decode(value, { stream: true })
  }
}
