import { connect, type Options, TriviumError } from "../index.js"

/** The options of a text stream: the options of `connect` except `topics` and `storage`. */
export type TextStreamOptions = Omit<Options, "topics" | "storage">

/**
 * Returns the events of a topic as a stream of strings, for example the parts of a generated answer. Each event is one
 * part: its payload if that is a string, and else the JSON of the payload. By default the stream begins with the oldest
 * retained event.
 *
 * The stream ends when the topic ends. A lost connection is replaced. The stream fails if a part was lost, or if the hub
 * refuses the subscription. If the reader is slow, the client stops reading from the hub. Canceling the stream closes the
 * connection.
 */
export function textStream(topic: string, options: TextStreamOptions = {}): ReadableStream<string> {
  const { cursor, last, since } = options
  const hasStart = cursor !== undefined || last !== undefined || since !== undefined
  const events = connect({ ...options, ...(hasStart ? {} : { since: new Date(0) }), topics: [topic] })
  const loop = events[Symbol.asyncIterator]()
  let fail: (why: unknown) => void
  events.on("end", () => events.close())
  events.on("gap", (gap) => {
    // Before the first event, an uncertain gap means only that the hub has no record of the topics that lost events.
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
