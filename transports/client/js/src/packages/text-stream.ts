import { connect, type Options, TriviumError } from "../index.js"

/** The options of a text stream: those of `connect`, but the topic. */
export type TextStreamOptions = Omit<Options, "topics" | "storage">

/**
 * Returns the texts of a topic's events, such as the parts of a generated answer, as a stream of strings: the payloads
 * that are strings, and the JSON of the others. By default it begins with the oldest retained event of the topic.
 *
 * The stream ends when the topic ends. It fails if a part was lost, or if the hub refuses the subscription; a lost
 * connection is replaced. A reader that is slow holds back the connection. Canceling the stream closes it.
 */
export function textStream(topic: string, options: TextStreamOptions = {}): ReadableStream<string> {
  const { cursor, last, since } = options
  const hasStart = cursor !== undefined || last !== undefined || since !== undefined
  const events = connect({ ...options, ...(hasStart ? {} : { since: new Date(0) }), topics: [topic] })
  const loop = events[Symbol.asyncIterator]()
  let fail: (why: unknown) => void
  events.on("end", () => events.close())
  events.on("gap", (gap) => {
    // Before the first event, a gap that is not certain says only that the hub has forgotten what it once removed.
    if (gap.after === undefined && !gap.certain) return
    fail(new TriviumError("text was lost: " + gap.reason, "gap"))
    events.close()
  })
  return new ReadableStream<string>(
    {
      start: (controller) => {
        fail = (why) => controller.error(why)
      },
      pull: async (controller) => {
        const { done, value: event } = await loop.next()
        if (done) return close(controller)
        controller.enqueue(typeof event.data === "string" ? event.data : event.text)
      },
      cancel: () => events.close(),
    },
    { highWaterMark: 0 },
  )
}

/** Closes a stream, unless it has failed. */
function close(controller: ReadableStreamDefaultController<string>): void {
  try {
    controller.close()
  } catch {
    // The stream has failed.
  }
}
