import { TriviumError } from "./error.js"
import { parts } from "./json.js"
import { type Connection, request, type Transport } from "./transport.js"

/** Long-poll. The first request does not wait, and so returns the position at which the subscription starts. */
export const poll: Transport = async (c) => {
  let cursor = c._cursor
  for (let wait = 0; ; wait = c._pollWait) {
    const begin = Date.now()
    const answer = await request(c, c._url("poll", { wait, max: 1000 }), "application/json", cursor)
    const { cursor: next, events, gap } = parts(await readText(c, answer))
    if (!next) throw new TriviumError("the answer has no cursor", "")
    c._heard()
    if (!wait) await c._receive({ op: "open", id: cursor })
    cursor = JSON.parse(next) as string
    if (gap) {
      const g = JSON.parse(gap)
      await c._receive({ ...g, op: "gap", id: g.resumed_at })
    }
    const list = Object.values(parts(events ?? ""))
    for (const raw of list) await c._receive({ op: "event", raw })
    await c._receive({ op: "position", id: cursor })
    // A hub that drains answers with Retry-After.
    const retry = Number(answer.headers.get("retry-after"))
    if (retry) throw new TriviumError("the hub drains", "network", 0, retry * 1000)
    // This limits the rate of requests if something in between answers instead of the hub.
    if (!list.length && wait && Date.now() - begin < 1000) await new Promise((done) => setTimeout(done, 1000))
  }
}

/** Returns the body of an answer. A large one may take longer than the client endures silence. */
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
