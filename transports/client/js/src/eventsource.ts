import { readPushed, TriviumError } from "./injected.js"
import { control, controls, request, throwReason } from "./request.js"
import type { Transport } from "./transport.js"

/** Reads with the browser's EventSource. It cannot set headers, so its URL has a one-time ticket instead of the token. */
export const eventsource: Transport = async (c) => {
  let opened = false
  let ticket = ""
  if (!globalThis.EventSource) throw new TriviumError("there is no EventSource here", "options", 400)
  if (c._token) {
    const answer = await request(c, c._url("ticket", {}), "application/json", "", "POST")
    ticket = ((await answer.json()) as { ticket: string }).ticket
  }
  return readPushed(c, (message, fail) => {
    const query: Record<string, string | number> = { envelope: 1 }
    if (c._cursor) query.cursor = c._cursor
    if (ticket) query.ticket = ticket
    const source = new EventSource(c._url("sse", query))
    source.onmessage = ({ data }) => message(() => ({ op: "event", raw: data }))
    for (const op of controls) {
      source.addEventListener("trivium." + op, ({ data, lastEventId }) => {
        opened = true
        message(() => control(c, op, lastEventId, data))
      })
    }
    // A browser may drop a goaway at the end of a stream, and hides the hub's `retry` time. The client therefore waits as
    // long as a draining hub would request.
    source.onerror = () => fail(new TriviumError("the connection was lost", "network", 0, opened ? 1000 + 2000 * Math.random() : 0))
    return () => source.close()
  }).catch((e: unknown) => {
    if (opened) throw e
    return throwReason(c, e)
  })
}
