/** An event as the hub sent it. */
export class TriviumEvent<T = unknown> {
  /** The cursor of the event. A subscription that starts at this cursor gets the events after this one. */
  declare readonly id: string
  declare readonly topic: string
  declare readonly type: string | undefined
  declare readonly key: string | undefined
  /** When the hub accepted the event: RFC 3339 in UTC, with up to nine decimals of a second. */
  declare readonly time: string
  /** The payload as it was published: JSON text, other text, or binary data in base64. */
  readonly text: string
  readonly #decode: () => unknown
  #data: { value: unknown } | undefined

  /**
   * @param json an envelope (docs/protocol.md#events).
   * @param parse parses a JSON payload when `data` is first read.
   */
  constructor(json: string, parse: (text: string) => unknown = JSON.parse) {
    // The payload is the last member. It is parsed only when `data` is read, so `text` keeps all digits of its numbers.
    const [, head, binary, payload = ""] = /^(.*?)(?:,"data(_base64)?":(.*))?}\s*$/s.exec(json)!
    const members = JSON.parse(head + "}") as { id?: string; topic?: string; text?: boolean }
    const { id, topic, text } = members
    if (!id || !topic) throw new Error("not an event")
    Object.assign(this, members)
    const decoded = (this.text = binary || text ? (JSON.parse(payload) as string) : payload)
    this.#decode = () =>
      binary ? Uint8Array.from(atob(decoded), (c) => c.charCodeAt(0)) : text ? decoded : payload ? parse(payload) : undefined
  }

  /** The payload: the parsed JSON, a string, or a Uint8Array for binary data. */
  get data(): T {
    return (this.#data ??= { value: this.#decode() }).value as T
  }
}

/** Reports that events of the subscription were lost, or may have been lost (docs/protocol.md#gaps). */
export interface Gap {
  /** `expired`: retention removed the events. `epoch`: the hub has a new log. `future`: the cursor is ahead of the log. */
  reason: "expired" | "epoch" | "future" | (string & {})
  /** The position before the gap; absent if the subscription started with a time. */
  after?: string
  /** The position after the gap. */
  resumed_at: string
  /** `true`: matching events were lost. `false`: matching events may have been lost. */
  certain: boolean
}
