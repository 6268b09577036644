// Runs one program with several implementations of EventSource.

/**
 * Reads a stream until a message with the data "end", or until the EventSource is closed, and returns the log of all events.
 */
export function record(EventSource, url) {
  return new Promise((done) => {
    const log = []
    const source = new EventSource(url)
    const note = (event) => {
      const { type, data, lastEventId, origin } = event
      log.push([type, source.readyState, event.target === source, event.constructor.name, data, lastEventId, origin && origin === new URL(url).origin])
      if (data === "end") source.close()
      if (source.readyState === EventSource.CLOSED) done(log)
    }
    log.push(["created", source.readyState, source.url === url, source.withCredentials, source.onmessage])
    source.onopen = note
    source.onmessage = note
    source.onerror = note
    source.addEventListener("price", note)
    const removed = () => log.push("not removed")
    source.addEventListener("message", removed)
    source.removeEventListener("message", removed)
    source.onmessage = (event) => (log.push("the second handler"), note(event))
    source.onopen = "no function"
    log.push(["handlers", typeof source.onmessage, source.onopen])
    source.onopen = note
  })
}

/** Makes fetch pass the bytes of each event stream one by one. */
export function splitAnswers() {
  const { fetch } = globalThis
  globalThis.fetch = async (...args) => {
    const answer = await fetch(...args)
    if (answer.status !== 200) return answer
    const { headers, body } = answer
    const bytes = new TransformStream({
      transform: (chunk, controller) => chunk.forEach((byte) => controller.enqueue(Uint8Array.of(byte))),
    })
    return new Response(body.pipeThrough(bytes), { headers })
  }
}
