import { connectionLost, TriviumError } from "./injected.js"
import { control, request } from "./request.js"
import type { Transport } from "./transport.js"

/** Reads server-sent events with fetch: the token is in a header, and the status of the answer is visible. */
export const sse: Transport = async (c) => {
  // Without streams, as in React Native, fetch would wait for the end of the answer. Because of the error's status, `auto`
  // uses the next transport, and a client without `auto` closes.
  if (!globalThis.ReadableStream) throw new TriviumError("fetch has no streams here", "options", 405)
  const type = "text/event-stream"
  const answer = await request(c, c._url("sse", { envelope: 1 }), type, c._cursor)
  const reader = answer.body!.getReader()
  const decoder = new TextDecoder()
  let rest = ""
  let fields: Record<string, string> = {}
  for (;;) {
    const { done, value } = await reader.read()
    if (done) throw connectionLost()
    c._heard()
    // A carriage return at the end of a chunk may be the first half of CRLF.
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?=[^])/)
    rest = lines.pop()!
    for (const line of lines) {
      if (line) {
        const [, name = "", text = ""] = /^([^:]*):? ?([^]*)$/.exec(line)!
        fields[name] = name === "data" && name in fields ? fields[name] + "\n" + text : text
        continue
      }
      const { event, id, data, retry } = fields
      fields = {}
      if (data === undefined) continue
      await c._receive(event ? { retry_ms: Number(retry), ...control(c, event.slice(8), id, data) } : { op: "event", raw: data })
    }
  }
}
