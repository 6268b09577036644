/** The options of an EventSource. */
export interface EventSourceOptions {
  /** Sends cookies to another origin too. */
  withCredentials?: boolean
  /** Additional headers of each request, or a function that returns them. It is called before each request. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
}

type Handler<E extends Event> = ((this: EventSource, event: E) => unknown) | null

/** Milliseconds before a lost connection is replaced, unless the server sets another time. */
const defaultRetry = 3000
const maxRetry = 2 ** 31 - 1 // the longest time of setTimeout
const eventStream = /^text\/event-stream *(;|$)/i

/**
 * The EventSource of the HTML standard (section 9.2), with request headers. It reads by fetch, so it also works in
 * workers, Node.js, Bun and Deno. Apart from the headers it behaves like the EventSource of the browser.
 */
export class EventSource extends EventTarget {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSED = 2
  readonly CONNECTING = 0
  readonly OPEN = 1
  readonly CLOSED = 2

  readonly url: string
  readonly withCredentials: boolean
  #headers: EventSourceOptions["headers"]
  #state: 0 | 1 | 2 = 0
  #abort = new AbortController()
  #retry = defaultRetry
  #lastEventId = ""
  #handlers: Record<string, { f: (event: never) => unknown } | undefined> = {}

  constructor(url: string | URL, { withCredentials = false, headers }: EventSourceOptions = {}) {
    super()
    try {
      this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href
    } catch {
      throw new DOMException("not a URL: " + String(url), "SyntaxError")
    }
    this.withCredentials = withCredentials
    this.#headers = headers
    void this.#run()
  }

  get readyState(): 0 | 1 | 2 {
    return this.#state
  }

  get onopen(): Handler<Event> {
    return this.#handler("open")
  }
  set onopen(f: Handler<Event>) {
    this.#setHandler("open", f)
  }
  get onmessage(): Handler<MessageEvent<string>> {
    return this.#handler("message")
  }
  set onmessage(f: Handler<MessageEvent<string>>) {
    this.#setHandler("message", f)
  }
  get onerror(): Handler<Event> {
    return this.#handler("error")
  }
  set onerror(f: Handler<Event>) {
    this.#setHandler("error", f)
  }

  override addEventListener(
    type: string,
    listener: ((this: EventSource, event: MessageEvent<string>) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener as EventListener | null, options)
  }

  override removeEventListener(
    type: string,
    listener: ((this: EventSource, event: MessageEvent<string>) => unknown) | EventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListener | null, options)
  }

  /** Closes the connection, which is not opened again. No event is dispatched afterwards. */
  close(): void {
    this.#state = 2
    this.#abort.abort()
  }

  #handler<E extends Event>(type: string): Handler<E> {
    return (this.#handlers[type]?.f as Handler<E> | undefined) ?? null
  }

  /** Sets the handler of a type. The handler keeps its place among the listeners until it is set to null. */
  #setHandler<E extends Event>(type: string, f: Handler<E>): void {
    const set = this.#handlers[type]
    if (typeof f !== "function") delete this.#handlers[type]
    else if (set) set.f = f
    else {
      const handler = (this.#handlers[type] = { f })
      super.addEventListener(type, (event) => {
        if (this.#handlers[type] === handler) (handler.f as (event: Event) => unknown).call(this, event)
      })
    }
  }

  async #run(): Promise<void> {
    await null // the program can add its listeners first
    while (this.#state !== 2) {
      let answer: Response | undefined
      try {
        answer = await this.#request()
      } catch {
        // A network error, or an error of the headers function. Both are temporary.
      }
      if (answer && !isEventStream(answer)) {
        void answer.body?.cancel().catch(() => {})
        return this.#fail()
      }
      if (answer) await this.#read(answer).catch(() => {})
      if (this.#isClosed()) return
      this.#state = 0
      this.dispatchEvent(new Event("error"))
      await this.#sleep(this.#retry)
    }
  }

  #isClosed(): boolean {
    return this.#state === 2
  }

  #fail(): void {
    if (this.#isClosed()) return
    this.#state = 2
    this.dispatchEvent(new Event("error"))
  }

  async #request(): Promise<Response> {
    const headers = new Headers(typeof this.#headers === "function" ? await this.#headers() : this.#headers)
    headers.set("accept", "text/event-stream")
    // A header consists of bytes, and an id is sent in UTF-8.
    if (this.#lastEventId) headers.set("last-event-id", String.fromCharCode(...new TextEncoder().encode(this.#lastEventId)))
    const credentials = this.withCredentials ? "include" : "same-origin"
    return fetch(this.url, { headers, credentials, cache: "no-store", signal: this.#abort.signal })
  }

  /** Reads a stream to its end. */
  async #read(answer: Response): Promise<void> {
    if (this.#isClosed()) return
    this.#state = 1
    this.dispatchEvent(new Event("open"))
    const { origin } = new URL(answer.url || this.url)
    const reader = answer.body!.getReader()
    const decoder = new TextDecoder() // it removes a byte order mark
    const parser = new Parser(this.#lastEventId)
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      for (const line of parser.lines(decoder.decode(value, { stream: true }))) {
        if (this.#isClosed()) return
        const message = parser.add(line)
        this.#retry = parser.retry ?? this.#retry
        if (!line) this.#lastEventId = parser.id
        if (message) this.dispatchEvent(new MessageEvent(message.type, { data: message.data, origin, lastEventId: parser.id }))
      }
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms)
      this.#abort.signal.addEventListener("abort", () => {
        clearTimeout(timer)
        done()
      })
    })
  }
}

function isEventStream(answer: Response): boolean {
  return answer.status === 200 && eventStream.test(answer.headers.get("content-type") ?? "")
}

/** Parses an event stream. */
class Parser {
  /** The reconnection time that the stream set last, in milliseconds. */
  retry: number | undefined
  #type = ""
  #data: string[] = []
  #rest = ""
  #afterCR = false // the last text ended with CR, so LF at the beginning of the next one is the second half of CRLF

  constructor(public id: string) {}

  /** Adds received text, and returns the lines that it completes. */
  lines(text: string): string[] {
    if (!text) return []
    const lines = (this.#rest + (this.#afterCR && text[0] === "\n" ? text.slice(1) : text)).split(/\r\n|\n|\r/)
    this.#afterCR = text.endsWith("\r")
    this.#rest = lines.pop()!
    return lines
  }

  /** Adds a line, and returns the event that it completes. */
  add(line: string): { type: string; data: string } | undefined {
    if (!line) {
      const event = { type: this.#type || "message", data: this.#data.join("\n") }
      const isComplete = this.#data.length > 0
      this.#type = ""
      this.#data = []
      return isComplete ? event : undefined
    }
    const [, name, value = ""] = /^([^:]*):? ?([^]*)$/.exec(line)!
    if (name === "data") this.#data.push(value)
    else if (name === "event") this.#type = value
    else if (name === "id" && !value.includes("\0")) this.id = value
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Math.min(Number(value), maxRetry)
    return undefined
  }
}
